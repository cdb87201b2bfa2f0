"""The shape of a week: pooled over all keywords, and each keyword's own where its data can tell.

A keyword's own shape is a sum of harmonics of the week. Each harmonic is shrunk by the share of its variance, over all
keywords, that repeats from week to week: an empirical-Bayes (James–Stein) estimate per harmonic, as in Efron and
Morris 1973 (J. Am. Stat. Assoc. 68:117). What repeats is measured by the cross-product of odd and even weeks, whose
noises are independent, so that neither counting noise nor slow fluctuation passes for a season.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detection.hourly import HOURS_PER_DAY, HOURS_PER_WEEK

Floats = npt.NDArray[np.float64]

POOL_MASS: Final = 40.0
"""Weight of a flat shape beside the pooled counts of an hour of the week, in effective mentions."""

KEYWORD_CAP: Final = 30.0
"""A keyword's voice in the pooled shape is at most that of so many mentions per hour: the shape is not one keyword's."""

MIN_MENTIONS: Final = 150.0
"""Below so many mentions in the history a keyword has the pooled shape; nothing of its own could be seen."""

PASSES: Final = 3
"""Passes that separate harmonics which the uneven exposure of the hours mixes; the third changes under 1 %."""


@dataclass(frozen=True, slots=True, eq=False)
class Harmonics:
    """How much of each harmonic's variance is season, learnt over all keywords.

    Attributes:
        signal: variance of the true harmonics, float64[85].
        floor: variance of their estimates that more mentions do not reduce (slow fluctuation), float64[85].
    """

    signal: Floats
    floor: Floats


def by_hour_of_week(values: Floats, hour_of_week: npt.NDArray[np.int64]) -> Floats:
    """Sum rows [hours, …] by their hour of the week, float64[168, …]."""
    out = np.zeros((HOURS_PER_WEEK, *values.shape[1:]))
    first = int(hour_of_week[0])
    for at in range(0, len(values), HOURS_PER_WEEK):
        part = values[at : at + HOURS_PER_WEEK]
        stop = min(first + len(part), HOURS_PER_WEEK)
        out[first:stop] += part[: stop - first]
        out[: len(part) - (stop - first)] += part[stop - first :]
    return out


def smooth(shape: Floats) -> Floats:
    """Average each hour of a cyclic shape with its neighbours (weights 1 2 1)."""
    return np.asarray((np.roll(shape, 1, 0) + 2 * shape + np.roll(shape, -1, 0)) / 4)


def pooled_shape(counts: Floats, expected: Floats) -> Floats:
    """Return the log shape of the week common to all keywords, float64[168].

    Args:
        counts: mentions by hour of the week, float64[168, k].
        expected: mentions expected without a season, float64[168, k].
    """
    hourly = expected.mean(axis=0)
    voice = KEYWORD_CAP / (KEYWORD_CAP + hourly)
    seen = counts @ voice + POOL_MASS
    awaited = expected @ voice + POOL_MASS
    daily = _fold(seen) / _fold(awaited)  # the day's shape first: a week's needs seven times the data
    ratio = smooth((counts @ voice + POOL_MASS) / (expected @ voice * daily + POOL_MASS) * daily)
    weight = expected @ voice
    total = weight.sum()
    log_shape = np.log(ratio)
    return np.asarray(log_shape - np.log((np.exp(log_shape) @ weight) / total) if total > 0 else log_shape * 0)


def _fold(values: Floats) -> Floats:
    """Sum a week by hour of the day and repeat it over the week."""
    return np.tile(values.reshape(7, HOURS_PER_DAY, *values.shape[1:]).sum(0), (7, *(1 for _ in values.shape[1:])))


def _coefficients(counts: Floats, expected: Floats) -> npt.NDArray[np.complex128]:
    return np.asarray(np.fft.rfft(counts - expected, axis=0) / np.maximum(counts.sum(axis=0), 1.0))


def learn_harmonics(
    odd: tuple[Floats, Floats], even: tuple[Floats, Floats], noise: Floats, *, weeks: bool
) -> Harmonics:
    """Learn how much of each harmonic repeats.

    Args:
        odd: counts and expected mentions by hour of the week over the odd weeks (days if not ``weeks``), each [168, k].
        even: the same over the even weeks.
        noise: variance of a harmonic's estimate from counting noise, over both halves, float64[k].
        weeks: whether the history is long enough to see a week's shape; otherwise the day's harmonics only.
    """
    a, b = _coefficients(*odd), _coefficients(*even)
    weight = 1 / (noise + 0.01) ** 2
    total = max(float(weight.sum()), 1e-12)
    signal = np.maximum((a * b.conj()).real @ weight / total, 0.0)
    spread = (np.abs((a + b) / 2) ** 2 - noise) @ weight / total
    floor = np.maximum(spread - signal, 0.0)
    allowed = np.zeros(len(signal), bool)
    allowed[7::7] = True
    if weeks:
        allowed[1:] = True
    # Neighbouring harmonics share their strength: one of 84 estimates is noisy, and isolated weekly lines mean nothing.
    smoothed = np.convolve(np.pad(signal, 2, mode="edge"), np.ones(5) / 5, "valid")
    daily = np.zeros(len(signal), bool)
    daily[7::7] = True
    signal = np.where(daily, signal, np.minimum(smoothed, signal * 2))
    signal[~allowed] = 0.0
    return Harmonics(signal, floor)


def own_shape(counts: Floats, expected: Floats, noise: Floats, harmonics: Harmonics) -> Floats:
    """Return each keyword's log shape of the week beside the pooled one, float64[168, k].

    Args:
        counts: mentions by hour of the week, float64[168, k].
        expected: mentions expected by level, volume and pooled shape, float64[168, k].
        noise: variance of a harmonic's estimate from counting noise, float64[k].
        harmonics: what ``learn_harmonics`` returned.
    """
    shrink = harmonics.signal[:, None] / (harmonics.signal[:, None] + harmonics.floor[:, None] + noise + 1e-12)
    found: npt.NDArray[np.complex128] = np.zeros((HOURS_PER_WEEK // 2 + 1, counts.shape[1]), complex)
    log_shape = np.zeros_like(counts)
    for _ in range(PASSES):
        scaled = expected * np.exp(log_shape)
        scaled *= counts.sum(0) / np.maximum(scaled.sum(0), 1e-9)
        found = (found + _coefficients(counts, scaled)) * shrink
        log_shape = np.log(np.clip(1 + np.fft.irfft(found * HOURS_PER_WEEK, HOURS_PER_WEEK, axis=0), 0.15, 6.0))
    scaled = expected * np.exp(log_shape)
    return np.asarray(log_shape - np.log(np.maximum(scaled.sum(0), 1e-9) / np.maximum(expected.sum(0), 1e-9)))
