"""Expected mentions of every keyword in every window of a day: what posts, history and truth have in common."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feed.rhythm import day_number
from feed.seasons import Seasons
from feed.vocabulary import FloatArray, Vocabulary


class DayRates(NamedTuple):
    """Expected mentions of one day in two parts, whose sum it is; both of shape (WINDOWS_PER_DAY, keywords).

    Attributes:
        varying: what follows a keyword's popularity.
        steady: what comes with challenges.
    """

    varying: NDArray[np.float32]
    steady: NDArray[np.float32]


class Rates:
    """Popularity of keywords over time.

    Args:
        vocabulary: the keywords.
        reference: day whose probabilities are computed exactly; those of others follow by small factors.
        seed: of the keywords' seasons.
    """

    def __init__(self, vocabulary: Vocabulary, reference: date, seed: int) -> None:
        self.vocabulary = vocabulary
        self._seasons = Seasons(vocabulary.languages, np.random.default_rng([seed, 2]))
        self._reference = vocabulary.trend(day_number(reference))
        self.inclusion = vocabulary.inclusion(self._reference)

    def popularity(self, day: date) -> FloatArray:
        """Return each keyword's popularity in each window, relative to its long-term mean; (WINDOWS_PER_DAY, keywords)."""
        return self._seasons.factor(day) * self.vocabulary.trend(day_number(day))

    def expected(self, day: date, posts: FloatArray) -> DayRates:
        """Return expected mentions.

        Args:
            day: UTC.
            posts: posts per window and class, shape (WINDOWS_PER_DAY, CLASSES).
        """
        season = self._seasons.factor(day)
        drift = self.vocabulary.trend(day_number(day)) / self._reference
        competing = self.vocabulary.competition(season)
        varying = ((posts / competing).astype(np.float32) @ self.inclusion.slots) * (season * drift).astype(np.float32)
        return DayRates(varying, posts.astype(np.float32) @ self.inclusion.challenges)
