"""The daily fit: level, season, over-dispersion and record of every keyword, and what all keywords share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detection import budget, record, season
from detection.hourly import HOURS_PER_DAY, HOURS_PER_WEEK, WINDOWS_PER_HOUR, HourlyCounts
from detection.level import Levels, follow_levels
from detection.replay import replay

Floats = npt.NDArray[np.float64]

LEVEL_DISPERSION: Final = 0.5
"""Over-dispersion of an hour that clipping allows for: counting noise and fluctuation within the day."""

WEEKLY_FROM_DAYS: Final = 14
"""With fewer days of history the shape is the day's: a weekday seen once is not a season."""

MIN_HOURS: Final = HOURS_PER_DAY
"""A keyword has no baseline until it is so old; till then the online filter alone follows it."""

SEASON_STEP: Final = 1 / 32
"""Step of a stored season, log scale: int8 spans a factor of 53 either way within 3 %."""


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What all keywords share.

    Attributes:
        shape: log shape of the week, float64[168].
        harmonics: how much of each harmonic is season; None where no keyword could tell.
        dispersion: over-dispersion at the scales of a window and of an hour.
        tail: the common tail of calibrated daily maxima.
        record: what a threshold follows from, whatever the budget.
    """

    shape: Floats
    harmonics: season.Harmonics | None
    dispersion: tuple[float, float]
    tail: record.Tail
    record: budget.Record


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The fit of some keywords; arrays of length k.

    Attributes:
        columns: ``level`` (mentions per window at usual volume), ``mass`` (mentions that it rests on), ``dispersion``
            and ``hour_dispersion``, ``calibration``, ``season`` (row of ``seasons``; -1 for the shared shape).
        seasons: own log shapes of the week in steps of ``SEASON_STEP``, int8[m, 168].
        known: keywords with a baseline, those first mentioned at least ``MIN_HOURS`` ago.
        shared: what all keywords share.
    """

    columns: Mapping[str, npt.NDArray[np.float32]]
    seasons: npt.NDArray[np.int8]
    known: npt.NDArray[np.bool_]
    shared: Shared


def fit(hourly: HourlyCounts, shared: Shared | None = None, keywords: int | None = None) -> Fitted:
    """Fit some keywords.

    Args:
        hourly: their history, at least one day.
        shared: what all keywords share where it is already known; otherwise it is learnt from these keywords.
        keywords: number of all keywords, for the budget; by default those given.
    """
    volume = hourly.volume[:, None] * WINDOWS_PER_HOUR
    flat = np.asarray(np.broadcast_to(volume, hourly.sums.shape))
    levels = follow_levels(hourly.sums, flat, LEVEL_DISPERSION)
    shape, harmonics, own, seasons = _seasons(hourly, levels, volume, shared)
    exposure = volume * np.exp(shape)[hourly.hour_of_week][:, None]
    exposure = np.repeat(exposure, hourly.sums.shape[1], axis=1)
    if len(own):
        exposure[:, own] *= np.exp(seasons - shape[:, None])[hourly.hour_of_week]
    levels = follow_levels(hourly.sums, exposure, LEVEL_DISPERSION)
    past = replay(hourly, levels, exposure, shared.dispersion if shared else None)
    scale = record.calibration(past.record)
    calibrated = past.record / scale
    known = levels.born <= len(hourly.sums) - MIN_HOURS
    if shared is None:
        tail = record.common_tail(calibrated[np.isfinite(calibrated)])
        scores = tail.log_return_days(calibrated)
        share = len(scale) / (keywords or len(scale))
        shared = Shared(shape, harmonics, past.pooled, tail, budget.Record.of(scores, float(known.sum()), share))
    season_row = np.full(len(scale), -1.0)
    season_row[own] = np.arange(len(own))
    columns = {
        "level": levels.rate[-1],
        "mass": levels.mentions[-1],
        "dispersion": past.dispersion[0],
        "hour_dispersion": past.dispersion[1],
        "calibration": scale,
        "season": season_row,
    }
    return Fitted(
        {name: values.astype(np.float32) for name, values in columns.items()},
        np.clip(np.rint(seasons.T / SEASON_STEP), -127, 127).astype(np.int8),
        known,
        shared,
    )


def _seasons(
    hourly: HourlyCounts, levels: Levels, volume: Floats, shared: Shared | None
) -> tuple[Floats, season.Harmonics | None, npt.NDArray[np.int64], Floats]:
    """Return the shared shape, the harmonics, the keywords with a shape of their own, and those, float64[168, m]."""
    days = len(hourly.sums) // HOURS_PER_DAY
    how = hourly.hour_of_week
    hours = np.arange(len(hourly.sums))
    expected = volume * np.repeat(levels.rate[1:], HOURS_PER_DAY, axis=0)
    expected[hours[:, None] < levels.born + (levels.born > 0)] = 0.0
    shape = (
        shared.shape
        if shared
        else season.pooled_shape(season.by_hour_of_week(levels.clipped, how), season.by_hour_of_week(expected, how))
    )
    total = levels.clipped.sum(axis=0)
    own = np.flatnonzero(total > season.MIN_MENTIONS)
    harmonics = shared.harmonics if shared else None
    if not len(own) or days < 2 or (shared and harmonics is None):
        return shape, harmonics, own[:0], np.zeros((HOURS_PER_WEEK, 0))
    counts = levels.clipped[:, own]
    mean = expected[:, own] * np.exp(shape)[how][:, None]
    weeks = days >= WEEKLY_FROM_DAYS
    period = HOURS_PER_WEEK if weeks else HOURS_PER_DAY
    odd = hours // period % 2 == 0
    halves = [
        (season.by_hour_of_week(counts * part, how), season.by_hour_of_week(mean * part, how))
        for part in (odd[:, None], ~odd[:, None])
    ]
    halves = [(c, m * (c.sum(0) / np.maximum(m.sum(0), 1e-9))) for c, m in halves]
    fluctuation = 0.1 * np.square(mean).sum(0) / np.maximum(mean.sum(0), 1e-9) / WINDOWS_PER_HOUR
    noise = (1 + fluctuation) / total[own]
    if harmonics is None:
        harmonics = season.learn_harmonics(halves[0], halves[1], noise, weeks=weeks)
    both = [halves[0][i] + halves[1][i] for i in (0, 1)]
    return shape, harmonics, own, shape[:, None] + season.own_shape(both[0], both[1], noise, harmonics)
