"""Injected events: what a detector should find, each with its cause.

An event adds posts to the organic ones; its truth says how many mentions of its keyword that is. A silence (see
``feed.silences``) takes mentions away: organic posts do without its keyword.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from feed.lexicon import LANGUAGES, SUBJECTS
from feed.rhythm import WINDOWS_PER_DAY, window_start
from feed.vocabulary import CHALLENGES_PER_CLASS, FloatArray, Probabilities, Vocabulary
from transforms.text import tokenise


class Shape(StrEnum):
    """How an event's mentions go over time."""

    SPIKE = "spike"
    RAMP = "ramp"
    BURST = "burst"
    NEW_KEYWORD = "new_keyword"
    RARE_KEYWORD = "rare_keyword"
    SILENCE = "silence"


class Cause(StrEnum):
    """What its posts have in common; of a silence, why there are none."""

    CHALLENGE = "challenge"
    SOUND = "sound"
    ONE_AUTHOR = "one_author"
    SPAM = "copy_paste_spam"
    HIDDEN = "hidden_by_the_platform"


_PROFILES: dict[Shape, Callable[[np.random.Generator], FloatArray]] = {
    Shape.SPIKE: lambda rng: np.array([1.5, 0.7][: int(rng.integers(1, 3))]),
    Shape.RAMP: lambda rng: np.asarray(np.linspace(0.1, 1.5, int(rng.integers(8, 15))), dtype=np.float64),
    Shape.BURST: lambda rng: np.full(int(rng.integers(8, 21)), 0.8),
    Shape.NEW_KEYWORD: lambda _: np.array([0.4, 1.0, 1.2, 0.9, 0.6, 0.4, 0.2]),
    Shape.RARE_KEYWORD: lambda _: np.array([0.6, 1.0, 0.4]),
}
"""What a shape adds from window to window, relative to the event's height."""

_CAUSES = (Cause.CHALLENGE, Cause.SOUND, Cause.ONE_AUTHOR, Cause.SPAM)


class WindowTruth(msgspec.Struct, frozen=True):
    """What an event does in one window.

    Attributes:
        window_start: ISO 8601 in UTC.
        expected: mentions of the keyword without the event.
        expected_excess: mentions that the event adds, or, negative, takes away; those in the posts are Poisson distributed
            around it.
    """

    window_start: str
    expected: float
    expected_excess: float


class Truth(msgspec.Struct, frozen=True):
    """One line of the truth file; times are ISO 8601 in UTC, ``end`` exclusive."""

    keyword: str
    shape: Shape
    cause: Cause
    start: str
    end: str
    expected_excess: float
    windows: list[WindowTruth]


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the simulated day.

    Attributes:
        number: which one; its sound and its author are its own.
        keyword: what is mentioned more.
        class_: language and subject of its posts.
        first, last: its windows, both inclusive.
        usual: expected mentions in each of them without the event.
        excess: expected additional ones; negative in a silence.
    """

    number: int
    keyword: str
    shape: Shape
    cause: Cause
    class_: int
    first: int
    last: int
    usual: FloatArray
    excess: FloatArray

    def truth(self, day: date) -> Truth:
        """Return its line of the truth file."""
        start, end = window_start(day, self.first), window_start(day, self.last + 1)
        windows = [
            WindowTruth(_iso(window_start(day, self.first + i)), round(usual, 2), round(excess, 2))
            for i, (usual, excess) in enumerate(zip(self.usual.tolist(), self.excess.tolist(), strict=True))
        ]
        total = round(float(self.excess.sum()), 2)
        return Truth(self.keyword, self.shape, self.cause, _iso(start), _iso(end), total, windows)


def plan_events(
    count: int, vocabulary: Vocabulary, rates: Probabilities, inclusion: Probabilities, seed: Sequence[int]
) -> list[Event]:
    """Choose the events of a day that add posts; all shapes take turns, keywords are distinct.

    Args:
        count: number of events.
        vocabulary: what organic posts speak of.
        rates: expected mentions per window and keyword, shape (WINDOWS_PER_DAY, keywords).
        inclusion: probability of a keyword in a post of a class; tells the class that it belongs to.
        seed: of the choice.
    """
    rng = np.random.default_rng(list(seed))
    order = np.argsort(-rates.sum(axis=0))
    shapes = list(_PROFILES)
    events: list[Event] = []
    taken: set[str] = set()
    for number in range(count):
        shape = shapes[number % len(shapes)]
        # 5 shapes and 4 causes: every pair comes up within 20 events.
        cause = _CAUSES[number % len(_CAUSES)]
        keyword, class_ = _keyword(shape, cause, vocabulary, order, inclusion, taken, rng)
        taken.add(keyword)
        profile = _PROFILES[shape](rng)
        first = int(rng.integers(4, WINDOWS_PER_DAY - len(profile) - 2))
        index = vocabulary.keyword_number.get(keyword)
        last = first + len(profile) - 1
        usual = np.zeros(len(profile)) if index is None else rates[first : last + 1, index].astype(np.float64)
        mean = float(usual.mean())
        height = rng.uniform(10, 30) + mean * rng.uniform(1.5, 4) + 4 * np.sqrt(mean)
        events.append(Event(number, keyword, shape, cause, class_, first, last, usual, profile * height))
    return events


def _keyword(
    shape: Shape,
    cause: Cause,
    vocabulary: Vocabulary,
    order: NDArray[np.intp],
    inclusion: Probabilities,
    taken: set[str],
    rng: np.random.Generator,
) -> tuple[str, int]:
    while True:
        if shape is Shape.NEW_KEYWORD:
            class_ = int(rng.integers(len(LANGUAGES) * len(SUBJECTS)))
            words = [word for line in LANGUAGES[class_ // len(SUBJECTS)].words for word in line.split()]
            keyword = "".join(str(word) for word in rng.choice(words, 3, replace=False))
            ok = keyword not in vocabulary.keyword_number
        elif shape is not Shape.RARE_KEYWORD and cause is Cause.CHALLENGE:
            challenge = vocabulary.challenges[int(rng.integers(len(vocabulary.challenges)))]
            keyword, class_ = challenge.tag, challenge.number // CHALLENGES_PER_CLASS
            ok = True
        else:
            head = min(1500, len(order) // 4)
            low, high = (len(order) // 2, len(order)) if shape is Shape.RARE_KEYWORD else (30, head)
            index = int(order[int(np.exp(rng.uniform(np.log(low), np.log(high))))])
            keyword, class_ = vocabulary.keywords[index], int(np.argmax(inclusion[:, index]))
            ok = True
        if ok and keyword not in taken and tokenise(f"#{keyword}") == {keyword}:
            return keyword, class_


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
