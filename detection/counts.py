"""Counts of mentions: what a detector learns from and what it scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WINDOW_SECONDS = 900
"""Length of a tumbling event-time window: 15 minutes."""

WINDOWS_PER_DAY = 86_400 // WINDOW_SECONDS


@dataclass(frozen=True, slots=True, eq=False)
class WindowCounts:
    """Mentions of keywords in one window, or in one shard of it.

    Attributes:
        window_start: start of the window, epoch seconds, a multiple of the window's length.
        posts: posts of the whole platform in the window (not of the shard alone); NaN where unknown.
        keywords: the keywords that were mentioned, distinct, in any order; length n.
        mentions: posts that mention each keyword, int64[n]; 0 only where a caller asks about silent keywords.
    """

    window_start: int
    posts: float
    keywords: tuple[str, ...]
    mentions: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CountHistory:
    """Closed windows of the past as one sparse table, the input of a daily fit.

    A keyword and window that do not appear are zero mentions. Rows may come in any order; each pair appears once.

    Attributes:
        keywords: distinct keywords; length k.
        keyword: index into ``keywords`` of each row, int32[n].
        window: start of each row's window, epoch seconds, int64[n].
        mentions: int64[n], at least 1.
        start: start of the first window covered, epoch seconds (it may have no row).
        end: end of the last window covered, epoch seconds, exclusive.
        totals: posts of the whole platform per window from ``start`` to ``end``, float64[(end - start) / 900];
            NaN where unknown.
    """

    keywords: tuple[str, ...]
    keyword: npt.NDArray[np.int32]
    window: npt.NDArray[np.int64]
    mentions: npt.NDArray[np.int64]
    start: int
    end: int
    totals: npt.NDArray[np.float64]

    @property
    def windows(self) -> int:
        """Number of windows covered, with or without mentions."""
        return (self.end - self.start) // WINDOW_SECONDS

    def followed_by(self, later: CountHistory) -> CountHistory:
        """Return this history up to the start of a later one, and that.

        Raises:
            ValueError: there is a gap between the two.
        """
        if self.end < later.start:
            msg = "the earlier history ends before the later one begins"
            raise ValueError(msg)
        if self.start >= later.start:
            return later
        kept = self.window < later.start
        number = {keyword: i for i, keyword in enumerate(self.keywords)}
        new = [keyword for keyword in later.keywords if keyword not in number]
        number |= {keyword: i for i, keyword in enumerate(new, len(self.keywords))}
        renumbered = np.fromiter((number[keyword] for keyword in later.keywords), np.int32, len(later.keywords))
        return CountHistory(
            (*self.keywords, *new),
            np.concatenate([self.keyword[kept], renumbered[later.keyword]]).astype(np.int32),
            np.concatenate([self.window[kept], later.window]),
            np.concatenate([self.mentions[kept], later.mentions]),
            self.start,
            later.end,
            np.concatenate([self.totals[: (later.start - self.start) // WINDOW_SECONDS], later.totals]),
        )
