"""What texts are made of, and how probable each keyword is in a post.

Every post belongs to a *class*: a language and a subject. Its text has a random number of slots of three kinds (words,
hashtags, emoji), filled independently from the class's Zipf-like distributions, and at times the hashtag and words of
a challenge. Slots are independent, so the probability that a post of a class has a keyword is known in closed form:
``1 - (1 - c) * prod over kinds G(1 - p)``, with G the generating function of the number of slots, p the keyword's
probability in one slot and c in the challenge. Simulated counts (history) rest on it, simulated posts on the slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import stopwordsiso
from numpy.typing import NDArray

from feed.lexicon import EMOJI, EVERYWHERE, LANGUAGES, SUBJECTS, Language
from transforms.text import tokenise

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Probabilities = NDArray[np.float32]

CLASSES = len(LANGUAGES) * len(SUBJECTS)
"""Class ``i`` is language ``i // len(SUBJECTS)`` and subject ``i % len(SUBJECTS)``."""

WORD_SLOTS = np.array([0.02, 0.13, 0.25, 0.25, 0.20, 0.15])
TAG_SLOTS = np.array([0.15, 0.20, 0.25, 0.20, 0.12, 0.08])
EMOJI_SLOTS = np.array([0.50, 0.30, 0.20])
"""Probability of 0, 1, 2 … slots of a kind."""

CHALLENGE_SHARE = 0.2
CHALLENGES_PER_CLASS = 4
CHALLENGE_WORD_SHARE = 0.5
"""Part of a challenge's posts that use each of its own words."""

_UNSPACED = ("ja", "th", "zh")
_JUMPER_SHARE, _TAIL_WEIGHT = 0.05, 0.02


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge: what its posts share.

    Attributes:
        number: which one; also that of its sound.
        tag: surface of its hashtag, without ``#``.
        words: two words of its own.
    """

    number: int
    tag: str
    words: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Slots:
    """The distributions of one kind of slot for all classes, one after the other.

    Attributes:
        length: probability of 0, 1, 2 … slots.
        atoms: what may fill a slot; class ``c`` has ``atoms[bounds[c]:bounds[c + 1]]``.
        weights: probability of each within its class.
        bounds: shape (CLASSES + 1,).
    """

    length: FloatArray
    atoms: IntArray
    weights: FloatArray
    bounds: IntArray

    @property
    def classes(self) -> IntArray:
        """The class of each entry."""
        return np.repeat(np.arange(CLASSES), np.diff(self.bounds))

    def sampler(self, atom_factor: FloatArray) -> Callable[[IntArray, FloatArray], IntArray]:
        """Return a function (class of each slot, uniform numbers) → atoms, for weights times a factor per atom."""
        cumulative = np.concatenate(([0.0], np.cumsum(self.weights * atom_factor[self.atoms])))
        low = cumulative[self.bounds[:-1]]
        width = cumulative[self.bounds[1:]] - low

        def draw(classes: IntArray, uniform: FloatArray) -> IntArray:
            found = np.searchsorted(cumulative, low[classes] + uniform * width[classes], side="right") - 1
            # Rounding at a class's upper end must not reach into the next class.
            return np.asarray(self.atoms[np.clip(found, self.bounds[classes], self.bounds[classes + 1] - 1)])

        return draw


class Inclusion(NamedTuple):
    """Probability that a post of a class has a keyword, in two parts whose sum it is; both of shape (CLASSES, keywords).

    Attributes:
        slots: by its slots, without the class's challenges: varies with the keyword's popularity.
        challenges: by a challenge: does not.
    """

    slots: Probabilities
    challenges: Probabilities

    @property
    def total(self) -> Probabilities:
        """Shape (CLASSES, keywords)."""
        return self.slots + self.challenges


class Vocabulary:
    """Atoms (pieces of text), the keywords that they give, and their distributions.

    Attributes:
        surfaces: text of each atom.
        keywords: all keywords that an organic text can give.
        lead: first keyword of each atom, ``len(keywords)`` for one that gives none.
        fillers: stop words of each language, which give no keyword.
        challenges: of all classes, ``CHALLENGES_PER_CLASS`` each.
        challenge_weights: probability of a class's challenges, the same in each class.
        languages: language that each keyword comes from; -1 for what belongs to all, and for a challenge's own.
        volatility: shape of the gamma noise of each keyword's popularity; the smaller, the more it jumps. Most vary by
            a fifth from window to window; a few of the long tail jump to several times their usual popularity.
        period, phase: slow trend of each keyword, days.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self.surfaces: list[str] = []
        self._atoms: dict[str, int] = {}
        self.words = self._slots(WORD_SLOTS, self._class_words, rng)
        self.tags = self._slots(TAG_SLOTS, self._class_tags, rng)
        self.emoji = self._slots(EMOJI_SLOTS, self._class_emoji, rng)
        self.fillers = [_fillers(language) for language in LANGUAGES]
        self.challenges = [challenge for class_ in range(CLASSES) for challenge in _class_challenges(class_, rng)]
        self.challenge_weights = _zipf(CHALLENGES_PER_CLASS, 1.0)
        for challenge in self.challenges:
            for surface in (f"#{challenge.tag}", *challenge.words):
                self._atom(surface)
        self._index()
        size = len(self.keywords)
        self.languages = self._keyword_languages()
        jumpers = (rng.random(size) < _JUMPER_SHARE) & self._is_tail()
        self.volatility = np.where(jumpers, rng.uniform(0.4, 1.5, size), np.exp(rng.normal(3.0, 0.8, size)))
        self.period = rng.uniform(50, 150, size)
        self.phase = rng.uniform(0, 1, size)

    def _index(self) -> None:
        numbers: dict[str, int] = {}
        self.atom_keywords = [
            tuple(numbers.setdefault(keyword, len(numbers)) for keyword in sorted(tokenise(surface)))
            for surface in self.surfaces
        ]
        self.keywords = list(numbers)
        self.keyword_number = numbers
        self.lead = np.array([found[0] if found else len(numbers) for found in self.atom_keywords], dtype=np.int64)

    def _keyword_languages(self) -> IntArray:
        languages = np.full(len(self.keywords) + 1, -1)
        for slots in (self.tags, self.words):
            languages[self.lead[slots.atoms]] = slots.classes // len(SUBJECTS)
        common = {f"#{tag}" for tag in EVERYWHERE}
        for challenge in self.challenges:
            common |= {f"#{challenge.tag}", *challenge.words}
        languages[[self.lead[self._atoms[surface]] for surface in common]] = -1
        return languages[:-1]

    def _is_tail(self) -> NDArray[np.bool_]:
        heaviest = np.zeros(len(self.keywords) + 1)
        for slots in (self.words, self.tags, self.emoji):
            np.maximum.at(heaviest, self.lead[slots.atoms], slots.weights)
        return heaviest[:-1] < _TAIL_WEIGHT

    def trend(self, day: float) -> FloatArray:
        """Popularity of each keyword at a day (days since the epoch) relative to its long-term mean."""
        return np.asarray(np.exp(0.12 * np.sin(2 * np.pi * (day / self.period + self.phase))))

    def per_atom(self, keyword_factor: FloatArray) -> FloatArray:
        """Turn a factor per keyword into one per atom."""
        return np.append(keyword_factor, 1.0)[self.lead]

    def inclusion(self, keyword_factor: FloatArray) -> Inclusion:
        """Probability that a post of a class has a keyword."""
        challenge = self._challenge_probability()
        absent = np.ones_like(challenge)
        factor = self.per_atom(keyword_factor)
        for slots in (self.words, self.tags, self.emoji):
            weights = slots.weights * factor[slots.atoms]
            totals = np.add.reduceat(weights, slots.bounds[:-1])
            weights /= totals[slots.classes]
            one = np.zeros_like(absent)
            flat = one.reshape(-1)
            rows, columns, values = [], [], []
            for class_, atom, weight in zip(slots.classes.tolist(), slots.atoms.tolist(), weights, strict=True):
                for keyword in self.atom_keywords[atom]:
                    rows.append(class_)
                    columns.append(keyword)
                    values.append(weight)
            np.add.at(flat, np.array(rows) * one.shape[1] + np.array(columns), np.array(values))
            used = np.flatnonzero(flat)
            absent.reshape(-1)[used] *= np.polynomial.polynomial.polyval(1 - flat[used], slots.length)
        slots_alone = (1 - absent) * (1 - challenge)
        return Inclusion(slots_alone.astype(np.float32), challenge.astype(np.float32))

    def competition(self, keyword_factor: FloatArray) -> FloatArray:
        """Mean factor of what competes for the slots of a class.

        Args:
            keyword_factor: shape (n, keywords).

        Returns:
            Shape (n, CLASSES): by how much less probable each keyword is because others of its class are in season.
        """
        factor = np.concatenate((keyword_factor, np.ones((len(keyword_factor), 1))), axis=1)
        total = np.zeros((len(keyword_factor), CLASSES))
        lengths = 0.0
        for slots in (self.words, self.tags):
            length = float(slots.length @ np.arange(len(slots.length)))
            weighted = factor[:, self.lead[slots.atoms]] * slots.weights
            total += length * np.add.reduceat(weighted, slots.bounds[:-1], axis=1)
            lengths += length
        return np.asarray(total / lengths)

    def _challenge_probability(self) -> FloatArray:
        probability = np.zeros((CLASSES, len(self.keywords)))
        for challenge in self.challenges:
            class_, rank = divmod(challenge.number, CHALLENGES_PER_CLASS)
            share = CHALLENGE_SHARE * self.challenge_weights[rank]
            for keyword in tokenise(f"#{challenge.tag}"):
                probability[class_, self.keyword_number[keyword]] += share
            for word in challenge.words:
                for keyword in tokenise(word):
                    probability[class_, self.keyword_number[keyword]] += share * CHALLENGE_WORD_SHARE
        return probability

    def _atom(self, surface: str) -> int:
        number = self._atoms.setdefault(surface, len(self.surfaces))
        if number == len(self.surfaces):
            self.surfaces.append(surface)
        return number

    def _slots(
        self,
        length: FloatArray,
        of_class: Callable[[int, np.random.Generator], list[tuple[float, list[str]]]],
        rng: np.random.Generator,
    ) -> Slots:
        atoms: list[int] = []
        weights: list[float] = []
        bounds = [0]
        for class_ in range(CLASSES):
            for mass, surfaces in of_class(class_, rng):
                atoms += [self._atom(surface) for surface in surfaces]
                weights += (mass * _zipf(len(surfaces), 1.05)).tolist()
            bounds.append(len(atoms))
        return Slots(length, np.array(atoms), np.array(weights), np.array(bounds))

    @staticmethod
    def _class_words(class_: int, rng: np.random.Generator) -> list[tuple[float, list[str]]]:
        language, subject = _language_and_subject(class_)
        own = language.words[subject].split()
        others = _shuffled((word for line in language.words for word in line.split() if word not in own), rng)
        phrases = language.phrases.split()
        return [(0.7, own), (0.25, others), (0.05, phrases)] if phrases else [(0.7, own), (0.3, others)]

    @staticmethod
    def _class_tags(class_: int, rng: np.random.Generator) -> list[tuple[float, list[str]]]:
        language, subject = _language_and_subject(class_)
        own = language.words[subject].split()
        tail = [word + ending for word in own for ending in language.endings.split()]
        tail += [first + second for first in own for second in own if first != second]
        groups = [(0.35, list(EVERYWHERE)), (0.2, own), (0.45, _shuffled(tail, rng))]
        return [(mass, [f"#{tag}" for tag in tags]) for mass, tags in groups]

    @staticmethod
    def _class_emoji(_: int, rng: np.random.Generator) -> list[tuple[float, list[str]]]:
        return [(0.7, list(EMOJI)), (0.3, _shuffled(EMOJI, rng))]


def _class_challenges(class_: int, rng: np.random.Generator) -> list[Challenge]:
    language, subject = _language_and_subject(class_)
    words = language.words[subject].split()
    names = _shuffled((word + ending for word in words for ending in language.endings.split()), rng)
    challenges = []
    for rank, name in enumerate(names[:CHALLENGES_PER_CLASS]):
        first, second = rng.choice(len(words), 2, replace=False).tolist()
        challenges.append(Challenge(class_ * CHALLENGES_PER_CLASS + rank, name, (words[first], words[second])))
    return challenges


def _language_and_subject(class_: int) -> tuple[Language, int]:
    language, subject = divmod(class_, len(SUBJECTS))
    return LANGUAGES[language], subject


def _fillers(language: Language) -> list[str]:
    if language.code in _UNSPACED:
        return []
    words = sorted(stopwordsiso.stopwords(language.code))
    return [word for word in words if 2 <= len(word) <= 6 and word.isalpha() and not tokenise(word)][:150]


def _shuffled(words: Iterable[str], rng: np.random.Generator) -> list[str]:
    distinct = list(dict.fromkeys(words))
    return [distinct[i] for i in rng.permutation(len(distinct)).tolist()]


def _zipf(size: int, exponent: float) -> FloatArray:
    weights = np.arange(1, size + 1) ** -exponent
    return np.asarray(weights / weights.sum())
