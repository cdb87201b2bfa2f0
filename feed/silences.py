"""Silences: hours in which a keyword that is usual is all but gone, as if the platform hid its posts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from feed.events import Cause, Event, Shape
from feed.rates import DayRates
from feed.rhythm import WINDOWS_PER_DAY
from feed.vocabulary import FloatArray, Probabilities, Vocabulary

LEFT = 0.02
"""Share of a keyword's mentions that its silence leaves."""

_MISSED_MENTIONS = 20
"""Usual mentions in each window of a silence, if any keyword has so many: few that are missing are no news."""


def plan_silences(
    count: int,
    events: Sequence[Event],
    vocabulary: Vocabulary,
    rates: DayRates,
    inclusion: Probabilities,
    seed: Sequence[int],
) -> list[Event]:
    """Choose the silences of a day; their keywords are distinct, of one language, and of no challenge and no other event.

    Args:
        count: number of silences.
        events: the other events of the day.
        vocabulary: what organic posts speak of.
        rates: expected mentions per window and keyword.
        inclusion: probability of a keyword in a post of a class; tells the class that it belongs to.
        seed: of the choice.
    """
    rng = np.random.default_rng(list(seed))
    free = vocabulary.languages >= 0
    free[rates.steady.any(axis=0)] = False
    # The popularity of an atom is that of its first keyword; others cannot be silenced.
    free[[number for found in vocabulary.atom_keywords for number in found[1:]]] = False
    numbers = vocabulary.keyword_number
    free[[numbers[event.keyword] for event in events if event.keyword in numbers]] = False
    silences: list[Event] = []
    for number in range(len(events), len(events) + count):
        length = int(rng.integers(8, 17))
        first = int(rng.integers(4, WINDOWS_PER_DAY - length - 2))
        last = first + length - 1
        least = np.where(free, rates.varying[first : last + 1].min(axis=0), -1.0)
        index = int(rng.choice(np.flatnonzero(least >= min(_MISSED_MENTIONS, least.max()))))
        free[index] = False
        keyword, class_ = vocabulary.keywords[index], int(np.argmax(inclusion[:, index]))
        usual = rates.varying[first : last + 1, index].astype(np.float64)
        excess = (LEFT - 1) * usual
        silences.append(Event(number, keyword, Shape.SILENCE, Cause.HIDDEN, class_, first, last, usual, excess))
    return silences


def silenced(popularity: FloatArray, events: Sequence[Event], window: int, vocabulary: Vocabulary) -> FloatArray:
    """Return the popularity of each keyword in a window, as its silences leave it."""
    left = popularity.copy()
    for event in events:
        if event.shape is Shape.SILENCE and event.first <= window <= event.last:
            left[vocabulary.keyword_number[event.keyword]] *= LEFT
    return left
