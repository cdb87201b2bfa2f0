"""The past replayed: what the online filter would have said of the last weeks, hour by hour.

The replay yields, per keyword, the over-dispersion of its counts around their predictions, at the scale of one window
and of one hour, and the record: the largest surprise of each past day, which calibrates the surprises of tomorrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detection.hourly import HOURS_PER_DAY, WINDOWS_PER_HOUR, HourlyCounts
from detection.level import CLIP_SDS, Levels, hour_keep, prior_mass, ratio_of
from detection.tails import surprise

Floats = npt.NDArray[np.float64]

DEFAULT_DISPERSION: Final = (0.12, 0.04)
"""Over-dispersion at the scales of a window and of an hour before any data."""

DISPERSION_SPREAD: Final = 0.7
"""Relative standard deviation of the over-dispersion between keywords: how strongly the pooled value pulls."""

SQUARE_CAPS: Final = (40.0, 12.0)
"""Squared residuals of an hour are capped at so many variances (four windows; one hour): tails belong to the record."""

POOL_WEIGHT: Final = 200.0
"""Weight of the default in the pooled over-dispersion, in squared expected mentions."""


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What the replay found.

    Attributes:
        dispersion: over-dispersion at the scales of a window and of an hour, two arrays float64[k].
        pooled: the same over all keywords.
        record: largest surprise of each past day, nats, float64[days, k]; NaN where the keyword did not exist yet.
    """

    dispersion: tuple[Floats, Floats]
    pooled: tuple[float, float]
    record: Floats


@dataclass(slots=True)
class _Moments:
    """Running sums of a moment estimate of over-dispersion."""

    squares: Floats
    means: Floats
    information: Floats

    @classmethod
    def zeros(cls, keywords: int) -> _Moments:
        return cls(np.zeros(keywords), np.zeros(keywords), np.zeros(keywords))

    def add(self, alive: npt.NDArray[np.bool_], residual: Floats, mean: Floats, variance: Floats, parts: int) -> None:
        """Add an hour: ``residual`` is the squared deviation less counting noise, summed over ``parts`` counts."""
        weight = alive * np.square(mean / variance)
        square = parts * np.square(mean)
        self.squares += weight * residual
        self.means += weight * square
        self.information += weight * square / 2

    def pooled(self, default: float) -> float:
        return max(float((self.squares.sum() + POOL_WEIGHT * default) / (self.means.sum() + POOL_WEIGHT)), default / 10)

    def shrunk(self, pooled: float) -> Floats:
        """Return each keyword's own value, drawn to the pooled one by the precision of either."""
        own = self.squares / np.maximum(self.means, 1e-12)
        prior = 1 / (DISPERSION_SPREAD * pooled) ** 2
        value = (pooled * prior + own * self.information) / (prior + self.information)
        return np.asarray(np.clip(value, 0.15 * pooled, 50.0))


def replay(hourly: HourlyCounts, levels: Levels, exposure: Floats, pooled: tuple[float, float] | None = None) -> Replay:
    """Replay a history.

    Args:
        hourly: the history.
        levels: the levels that each of its days began with.
        exposure: windows at usual volume and season per hour, float[hours, k].
        pooled: over-dispersion of all keywords where it is already known; otherwise it is learnt here.
    """
    keywords = hourly.sums.shape[1]
    start = pooled or DEFAULT_DISPERSION
    rough = (np.full(keywords, start[0]), np.full(keywords, start[1]))
    first, second, peaks = _pass(hourly, levels, exposure, rough)
    found = pooled or (first.pooled(DEFAULT_DISPERSION[0]), second.pooled(DEFAULT_DISPERSION[1]))
    dispersion = (first.shrunk(found[0]), second.shrunk(found[1]))
    days = len(hourly.sums) // HOURS_PER_DAY
    record: Floats = np.zeros((days, keywords))
    for (count, mean, unsure), own in zip(peaks, dispersion, strict=True):
        found_here = surprise(count.ravel(), mean.ravel(), 1 / (own + unsure).ravel())
        record = np.maximum(record, found_here.reshape(days, keywords))
    alive = np.arange(days)[:, None] * HOURS_PER_DAY >= levels.born
    alive[0] = False
    return Replay(dispersion, found, np.where(alive, record, np.nan))


def _pass(
    hourly: HourlyCounts, levels: Levels, exposure: Floats, dispersion: tuple[Floats, Floats]
) -> tuple[_Moments, _Moments, list[tuple[Floats, Floats, Floats]]]:
    hours, keywords = hourly.sums.shape
    days = hours // HOURS_PER_DAY
    keep = hour_keep()
    moments = _Moments.zeros(keywords), _Moments.zeros(keywords)
    # Per scale, the hour of each day that stands out most: its count, its mean, the uncertainty of its level.
    peaks: list[tuple[Floats, Floats, Floats]] = [
        (np.zeros((days, keywords)), np.ones((days, keywords)), np.ones((days, keywords))) for _ in range(2)
    ]
    mass = prior_mass(levels.mentions[min(1, days)])
    a, b = mass.copy(), mass.copy()
    for day in range(days):
        mass = prior_mass(levels.mentions[max(day, min(1, days))])
        rate = levels.rate[max(day, 1)]  # the first day has no level before it
        best = [np.full(keywords, -np.inf) for _ in range(2)]
        for hour in range(day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY):
            base = np.maximum(rate * exposure[hour], 1e-9)
            mean = base * ratio_of(a, b)
            unsure = 1 / a
            count = hourly.sums[hour].astype(float)
            per_window = mean / WINDOWS_PER_HOUR
            variances = (
                per_window + (dispersion[0] + unsure) * per_window**2,
                mean + (dispersion[1] + unsure) * mean**2,
            )
            if day > 0:
                alive = levels.born < hour
                squares = hourly.squares[hour] - 2 * per_window * count + WINDOWS_PER_HOUR * per_window**2
                squares = np.minimum(squares, SQUARE_CAPS[0] * variances[0])
                noise = WINDOWS_PER_HOUR * (per_window + unsure * per_window**2)
                moments[0].add(alive, squares - noise, per_window, variances[0], WINDOWS_PER_HOUR)
                squares = np.minimum(np.square(count - mean), SQUARE_CAPS[1] * variances[1])
                moments[1].add(alive, squares - mean - unsure * mean**2, mean, variances[1], 1)
            for scale, (x, m) in enumerate(((hourly.peaks[hour].astype(float), per_window), (count, mean))):
                z = (x - m) / np.sqrt(variances[scale])
                more = z > best[scale]
                np.copyto(best[scale], z, where=more)
                for store, value in zip(peaks[scale], (x, m, unsure), strict=True):
                    np.copyto(store[day], value, where=more)
            taught = np.minimum(count, mean + CLIP_SDS * np.sqrt(variances[1]))
            weight = 1 / (1 + dispersion[0] * per_window)
            a = keep * a + (1 - keep) * mass + weight * taught
            b = keep * b + (1 - keep) * mass + weight * base
    return moments[0], moments[1], peaks
