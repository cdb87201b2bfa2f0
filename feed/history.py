"""Counts of past days without their posts: mentions per keyword and window, from the rates of simulated posts."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from feed.rates import Rates
from feed.rhythm import WINDOWS_PER_DAY, class_noise, day_number, expected_posts, surge, window_start
from feed.vocabulary import CLASSES, FloatArray, IntArray

_RARE = 2.0
"""Mentions a day below which a keyword's noise is lost in that of counting."""

_CALM = 2.0
_SURGE_SHARE = 0.3
"""Part of the days on which the whole platform rises for some hours."""


@dataclass(frozen=True, slots=True, eq=False)
class DayCounts:
    """The counts of one day.

    Attributes:
        day: UTC.
        keywords: all keywords; ``numbers`` index it.
        totals: posts of each window.
        numbers, mentions: for each window, the keywords with mentions, in rising order, and how many.
    """

    day: date
    keywords: list[str]
    totals: IntArray
    numbers: list[IntArray]
    mentions: list[IntArray]

    def per_keyword(self) -> IntArray:
        """Mentions of each keyword over the day."""
        sums = np.zeros(len(self.keywords), dtype=np.int64)
        for numbers, mentions in zip(self.numbers, self.mentions, strict=True):
            sums[numbers] += mentions
        return sums


class History:
    """Draws the counts of days before a simulated one."""

    def __init__(self, rates: Rates, reference: date, posts: int, surge_height: float, seed: int) -> None:
        self._rates = rates
        self._reference = reference
        self._posts = posts
        self._surge_height = surge_height
        self._seed = seed

    def days(self, count: int) -> Iterator[DayCounts]:
        """Yield the ``count`` days before the reference, oldest first."""
        for back in range(count, 0, -1):
            yield self._day(self._reference - timedelta(days=back))

    def _day(self, day: date) -> DayCounts:
        rng = np.random.default_rng([self._seed, day_number(day), self._posts, 9])
        posts = expected_posts(day, self._posts, self._reference) * class_noise(rng, WINDOWS_PER_DAY, CLASSES)
        posts *= surge(rng, self._surge_height, _SURGE_SHARE)[:, None]
        totals = rng.poisson(posts.sum(axis=1))
        vocabulary = self._rates.vocabulary
        rates, steady = self._rates.expected(day, posts)
        daily = rates.sum(axis=0)
        # A rare keyword's noise is lost in that of counting, unless it jumps; a challenge's are never rare.
        is_rare = (daily < _RARE) & (vocabulary.volatility > _CALM) & (steady[0] == 0)
        common, rare = np.flatnonzero(~is_rare), np.flatnonzero(is_rare)
        volatility = vocabulary.volatility[common]
        numbers, mentions = [], []
        for window in range(WINDOWS_PER_DAY):
            noisy = rates[window, common] * rng.standard_gamma(volatility) / volatility
            counted = rng.poisson(noisy + steady[window, common])
            found = self._rare(rates[window, rare], rng)
            index = np.concatenate((common[counted > 0], rare[found[0]]))
            many = np.minimum(np.concatenate((counted[counted > 0], found[1])), totals[window])
            order = np.argsort(index)
            numbers.append(index[order])
            mentions.append(many[order])
        return DayCounts(day, vocabulary.keywords, totals, numbers, mentions)

    @staticmethod
    def _rare(rates: FloatArray | NDArray[np.float32], rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        cumulative = np.cumsum(rates, dtype=np.float64)
        if not len(cumulative):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        count = rng.poisson(cumulative[-1])
        hits = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
        found, times = np.unique(np.minimum(hits, len(rates) - 1), return_counts=True)
        return found, times


def write_history(days: Iterable[DayCounts], counts: Path, totals: Path) -> int:
    """Write ``keyword,window_start,mentions`` (sparse) and ``window_start,total_posts`` as gzip; return the rows.

    Times are ISO 8601 in UTC. Level 1 of gzip is several times faster than the default, for a tenth more bytes.
    """
    rows = 0
    with (
        gzip.open(counts, "wt", compresslevel=1, encoding="utf-8", newline="") as counts_file,
        gzip.open(totals, "wt", compresslevel=1, encoding="utf-8", newline="") as totals_file,
    ):
        counts_file.write("keyword,window_start,mentions\n")
        totals_file.write("window_start,total_posts\n")
        for day in days:
            keywords = day.keywords
            for window in range(WINDOWS_PER_DAY):
                start = window_start(day.day, window).strftime("%Y-%m-%dT%H:%M:%SZ")
                totals_file.write(f"{start},{day.totals[window]}\n")
                mentions = day.mentions[window]
                ends = [f",{start},{many}\n" for many in range(int(mentions.max(initial=0)) + 1)]
                lines = [
                    keywords[number] + ends[many]
                    for number, many in zip(day.numbers[window].tolist(), mentions.tolist(), strict=True)
                ]
                counts_file.write("".join(lines))
                rows += len(lines)
    return rows
