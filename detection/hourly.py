"""Hourly summaries of window counts: all that a daily fit needs, at a quarter of the size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detection.counts import WINDOW_SECONDS, CountHistory

WINDOWS_PER_HOUR = 3600 // WINDOW_SECONDS
HOURS_PER_DAY = 24
HOURS_PER_WEEK = 168
DAY_SECONDS = 86_400

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class HourlyCounts:
    """Hours × keywords, time first, so that a pass over time touches contiguous rows.

    Attributes:
        start: start of the first hour, epoch seconds; midnight UTC. The hours cover whole days.
        sums: mentions per hour, float32[hours, k].
        squares: sum of the squared window counts of each hour, float32[hours, k].
        peaks: largest window count of each hour, float32[hours, k].
        volume: volume of the platform per hour, as the mean over its windows of posts relative to a usual window,
            float64[hours]; 1 where the volume is unknown.
    """

    start: int
    sums: Floats
    squares: Floats
    peaks: Floats
    volume: npt.NDArray[np.float64]

    @property
    def hour_of_week(self) -> npt.NDArray[np.int64]:
        """Hour of the week of each row, 0 is Thursday 00:00 UTC (the epoch's weekday), int64[hours]."""
        return (self.start // 3600 + np.arange(len(self.sums))) % HOURS_PER_WEEK

    @classmethod
    def joined(cls, parts: Sequence[HourlyCounts], volume: npt.NDArray[np.float64]) -> HourlyCounts:
        """Join consecutive parts of the same keywords; ``volume`` is that of the whole."""
        return cls(
            parts[0].start,
            np.concatenate([part.sums for part in parts]),
            np.concatenate([part.squares for part in parts]),
            np.concatenate([part.peaks for part in parts]),
            volume,
        )

    def take(self, columns: npt.NDArray[np.int64]) -> HourlyCounts:
        """Return the history of some keywords."""
        return HourlyCounts(
            self.start, self.sums[:, columns], self.squares[:, columns], self.peaks[:, columns], self.volume
        )

    @classmethod
    def from_rows(
        cls,
        column: npt.NDArray[np.int64],
        window: npt.NDArray[np.int64],
        mentions: npt.NDArray[np.int64],
        keywords: int,
        start: int,
        volume: npt.NDArray[np.float64],
    ) -> HourlyCounts:
        """Summarise sparse rows.

        Args:
            column: keyword column of each row, 0 ≤ column < keywords.
            window: start of each row's window, epoch seconds, from ``start`` on.
            mentions: mentions of each row.
            keywords: number of columns.
            start: start of the first hour, epoch seconds.
            volume: volume per hour; its length is the number of hours.
        """
        hours = len(volume)
        cell = (window - start) // 3600 * keywords + column
        size = hours * keywords
        sums = np.bincount(cell, weights=mentions, minlength=size)
        squares = np.bincount(cell, weights=np.square(mentions, dtype=float), minlength=size)
        peaks = np.zeros(size, np.float32)
        np.maximum.at(peaks, cell, mentions.astype(np.float32))
        return cls(
            start,
            sums.reshape(hours, keywords).astype(np.float32),
            squares.reshape(hours, keywords).astype(np.float32),
            peaks.reshape(hours, keywords),
            volume,
        )


def covered_days(history: CountHistory) -> tuple[int, int]:
    """Return the whole days, UTC, that a history covers: start of the first, end of the last, epoch seconds."""
    return -(-history.start // DAY_SECONDS) * DAY_SECONDS, history.end // DAY_SECONDS * DAY_SECONDS
