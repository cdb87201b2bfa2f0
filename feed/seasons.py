"""Hours and days of single keywords: breakfast words in the morning, party words at the weekend, most words always.

A keyword's season is a factor on its probability in a post, of mean about 1; the hours of languages and subjects, and
of the platform as a whole, are in ``feed.rhythm``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np

from feed.rhythm import WINDOWS_PER_DAY, local_hours, local_weekdays
from feed.vocabulary import FloatArray, IntArray

_PEAKS = (7.5, 12.5, 20.5, 0.5)
"""Local hours at which seasonal keywords peak: morning, noon, evening, night."""

_HOURLY_SHARE, _WEEKLY_SHARE = 0.3, 0.15
_HOURLY_SWING = (0.3, 0.8)
_WEEKEND_FACTORS = (1.9, 0.4)
_WEEKEND = 5


class Seasons:
    """The seasons of a vocabulary's keywords.

    Args:
        languages: language of each keyword, index in ``feed.lexicon.LANGUAGES``; -1 for one that has no season.
        rng: source of all choices.
    """

    def __init__(self, languages: Sequence[int] | IntArray, rng: np.random.Generator) -> None:
        self._languages = np.asarray(languages)
        size = len(self._languages)
        has = self._languages >= 0
        self._swing = np.where(has & (rng.random(size) < _HOURLY_SHARE), rng.uniform(*_HOURLY_SWING, size), 0.0)
        self._peak = rng.choice(_PEAKS, size) + rng.normal(0, 0.7, size)
        weekend = np.where(rng.random(size) < 0.5, *_WEEKEND_FACTORS)
        self._weekend = np.where(has & (rng.random(size) < _WEEKLY_SHARE), weekend, 1.0)

    def factor(self, day: date) -> FloatArray:
        """Return the factor of each window and keyword of a UTC day; shape (WINDOWS_PER_DAY, keywords)."""
        factor = np.ones((WINDOWS_PER_DAY, len(self._languages)))
        for language in range(int(self._languages.max(initial=-1)) + 1):
            own = np.flatnonzero((self._languages == language) & ((self._swing > 0) | (self._weekend != 1)))
            hours = local_hours(language)[:, None]
            free = local_weekdays(day, language)[:, None] >= _WEEKEND
            hourly = 1 + self._swing[own] * np.cos(2 * np.pi * (hours - self._peak[own]) / 24)
            # What the weekend has more, the other five days have less.
            others = (7 - 2 * self._weekend[own]) / 5
            factor[:, own] = hourly * np.where(free, self._weekend[own], others)
        return factor
