"""A stand-in for labelled brand-mention counts: heavy tails, keywords that jump often, level shifts.

Modelled on what is published about the Twitter volume series of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015,
"Evaluating Real-time Anomaly Detection Algorithms", arXiv:1510.03336): ten brands, eight weeks of five-minute counts
(here summed to 15 minutes), two to five labelled anomalies each, among many jumps that carry no label. The sizes of
jumps follow a Pareto law, so that the largest unlabelled jumps overlap with the smallest labelled ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detection.counts import WINDOWS_PER_DAY

RATES = (250.0, 150.0, 60.0, 50.0, 30.0, 16.0, 12.0, 10.0, 6.0, 4.0)
"""Usual mentions per 15 minutes of each brand."""


@dataclass(frozen=True, slots=True, eq=False)
class Brand:
    """One brand's series and its labels.

    Attributes:
        name: the keyword.
        counts: mentions per window, int32[windows].
        anomalies: windows at which labelled anomalies begin.
        spans: labelled windows around them, (first, one past the last), which together are a tenth of the series.
    """

    name: str
    counts: npt.NDArray[np.int32]
    anomalies: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


def _jump(rng: np.random.Generator, mean: npt.NDArray[np.float64], at: int, height: float) -> None:
    rise = int(rng.integers(0, 3))
    fall = rng.choice([1.5, 4.0, 12.0], p=[0.5, 0.3, 0.2])
    length = rise + int(fall * 4) + 1
    x = np.arange(length)
    shape = np.where(x < rise, (x + 1) / (rise + 1), np.exp(-np.maximum(x - rise, 0) / fall))
    part = mean[at : at + length]
    part *= 1 + height * shape[: len(part)]


def simulate_brand(rng: np.random.Generator, name: str, rate: float, days: int = 55) -> Brand:
    """Draw one brand."""
    windows = days * WINDOWS_PER_DAY
    t = np.arange(windows) / WINDOWS_PER_DAY
    season = 0.6 * np.sin(2 * np.pi * (t - 0.35)) + 0.2 * np.sin(4 * np.pi * (t - rng.uniform(0, 0.3)))
    season -= rng.uniform(0, 0.5) * np.isin(t.astype(int) % 7, (5, 6))
    keep = np.exp(-1 / 12)
    wander = np.zeros(windows)
    for i in range(1, windows):
        wander[i] = keep * wander[i - 1] + rng.normal(0, 0.22 * np.sqrt(1 - keep**2))
    drift = np.repeat(np.cumsum(rng.normal(0, 0.08, days)), WINDOWS_PER_DAY)
    mean = rate * np.exp(season + wander + drift) * rng.gamma(12, 1 / 12, windows)
    if rng.random() < 0.4:  # a lasting shift of the level
        mean[int(rng.integers(windows // 4, windows)) :] *= rng.uniform(0.6, 1.8)
    tail = rng.uniform(1.6, 2.6)
    per_day = 10 ** rng.uniform(-0.4, 0.5)
    scale = 10 ** rng.uniform(-0.8, 0.1)
    busy = np.exp(season) / np.exp(season).mean()  # news comes in waking hours
    for at in np.flatnonzero(rng.random(windows) < per_day / WINDOWS_PER_DAY * busy):
        _jump(rng, mean, int(at), scale * rng.pareto(tail))
    number = int(rng.integers(2, 6))
    probation = int(windows * 0.15)
    starts: list[int] = []
    while len(starts) < number:
        at = int(rng.integers(probation + 60, windows - 120))
        if rng.random() < busy[at] / busy.max() and all(abs(at - other) > windows * 0.11 / number for other in starts):
            starts.append(at)
    usual = scale * (per_day * 10) ** (1 / tail)  # what jumps reach about once in ten days
    for at in starts:
        _jump(rng, mean, at, max(usual * rng.lognormal(1.6, 0.5), 1.0))
    half = int(0.1 * windows / number / 2)
    spans = tuple(sorted((max(a - half, probation), min(a + half, windows)) for a in starts))
    return Brand(name, rng.poisson(mean).astype(np.int32), tuple(sorted(starts)), spans)


def simulate_brands(seed: int = 0) -> tuple[Brand, ...]:
    """Draw the ten brands; the same seed gives the same brands."""
    rng = np.random.default_rng([seed, 7])
    return tuple(simulate_brand(rng, f"brand{i}", rate) for i, rate in enumerate(RATES))
