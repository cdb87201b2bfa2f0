"""Who posts what: drafts of the posts of one window, organic ones and those of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from feed.events import Cause, Event
from feed.lexicon import EVERYWHERE, LANGUAGES, SUBJECTS
from feed.rhythm import WINDOW_SECONDS
from feed.vocabulary import (
    CHALLENGE_SHARE,
    CHALLENGE_WORD_SHARE,
    CHALLENGES_PER_CLASS,
    CLASSES,
    Challenge,
    FloatArray,
    IntArray,
    Slots,
    Vocabulary,
)

SOUNDS_PER_LANGUAGE = 400
ORIGINAL_SOUND = -1
"""Sound number of a post that has its author's own."""

_AUTHORS_PER_POST = 0.4
_OWN_SUBJECT_SHARE = 0.8
_URL_SHARE, _MENTION_SHARE, _DIGITS_SHARE = 0.02, 0.08, 0.03


class Draft(NamedTuple):
    """A post before it is rendered.

    Attributes:
        second: event time, seconds into the day.
        author: number of the author; its remainder by the number of subjects is the subject that is mostly theirs.
        language: index in ``LANGUAGES``.
        text: what the author wrote.
        tags: its hashtags, with ``#``.
        sound: number of the sound, ``ORIGINAL_SOUND`` for the author's own.
        event: whether the post belongs to an injected event.
    """

    second: float
    author: int
    language: int
    text: str
    tags: tuple[str, ...]
    sound: int
    event: bool


def challenge_sound(challenge: Challenge) -> int:
    """Return the number of a challenge's own sound."""
    return len(LANGUAGES) * SOUNDS_PER_LANGUAGE + challenge.number


def event_sound(event: Event) -> int:
    """Return the number of an event's own sound."""
    return len(LANGUAGES) * SOUNDS_PER_LANGUAGE + CLASSES * CHALLENGES_PER_CLASS + event.number


class Composer:
    """Composes posts from a vocabulary.

    Args:
        vocabulary: what posts are made of.
        posts: posts of a day; there are 0.4 authors per post, whose activity is Pareto distributed.
    """

    def __init__(self, vocabulary: Vocabulary, posts: int) -> None:
        self._vocabulary = vocabulary
        # Multiples of the subjects, so that an author's number tells the subject that is mostly theirs.
        self.authors_per_language = [
            len(SUBJECTS) * max(2, int(posts * _AUTHORS_PER_POST * each.share / len(SUBJECTS))) for each in LANGUAGES
        ]
        self._author_base = np.concatenate(([0], np.cumsum(self.authors_per_language)))
        self._author_count = np.array(self.authors_per_language)
        self._challenge_of_tag = {challenge.tag.casefold(): challenge for challenge in vocabulary.challenges}

    def organic(self, per_class: FloatArray, count: int, factor: FloatArray, rng: np.random.Generator) -> list[Draft]:
        """Compose the organic posts of a window, in seconds from the window's start.

        Args:
            per_class: weight of each class.
            count: number of posts.
            factor: popularity of each keyword in this window.
            rng: source of all choices.
        """
        vocabulary = self._vocabulary
        classes = np.searchsorted(np.cumsum(per_class / per_class.sum()), rng.random(count), side="right")
        classes = np.minimum(classes, CLASSES - 1)
        atom_factor = vocabulary.per_atom(factor)
        words, tags, emoji = (
            self._fill(slots, classes, atom_factor, rng)
            for slots in (vocabulary.words, vocabulary.tags, vocabulary.emoji)
        )
        languages = classes // len(SUBJECTS)
        authors = self._authors(languages, classes % len(SUBJECTS), rng)
        # A power of a uniform number favours the first sounds: a few are everywhere.
        sounds = languages * SOUNDS_PER_LANGUAGE + (rng.random(count) ** 3 * SOUNDS_PER_LANGUAGE).astype(np.int64)
        sounds[rng.random(count) < 0.3] = ORIGINAL_SOUND
        ranks = np.searchsorted(np.cumsum(vocabulary.challenge_weights), rng.random(count), side="right")
        challenges = classes * CHALLENGES_PER_CLASS + np.minimum(ranks, CHALLENGES_PER_CLASS - 1)
        challenges[rng.random(count) >= CHALLENGE_SHARE] = -1
        own_words = rng.random((count, 2)) < CHALLENGE_WORD_SHARE
        drafts = []
        rows = zip(
            (rng.random(count) * WINDOW_SECONDS).tolist(),
            authors.tolist(),
            languages.tolist(),
            sounds.tolist(),
            challenges.tolist(),
            own_words.tolist(),
            rng.random((count, 4)).tolist(),
            rng.integers(0, 1 << 30, count).tolist(),
            words,
            tags,
            emoji,
            strict=True,
        )
        for second, author, language, sound, challenge_number, own, chances, bits, w, t, e in rows:
            if challenge_number >= 0:
                challenge = vocabulary.challenges[challenge_number]
                w += [word for word, used in zip(challenge.words, own, strict=True) if used]
                t.append(f"#{challenge.tag}")
                sound = challenge_sound(challenge)  # noqa: PLW2901 - a challenge brings its own
            text = self._text(language, w, t, e, chances, bits)
            drafts.append(Draft(second, author, language, text, tuple(dict.fromkeys(t)), sound, event=False))
        return drafts

    def of_event(self, event: Event, window: int, rng: np.random.Generator) -> Iterator[Draft]:
        """Compose an event's posts of a window, as ``organic`` does."""
        count = int(rng.poisson(event.excess[window - event.first]))
        language = event.class_ // len(SUBJECTS)
        languages = np.full(count, language)
        authors = self._authors(languages, np.full(count, event.class_ % len(SUBJECTS)), rng)
        sounds = language * SOUNDS_PER_LANGUAGE + rng.integers(0, SOUNDS_PER_LANGUAGE, count)
        match event.cause:
            case Cause.CHALLENGE:
                known = self._challenge_of_tag.get(event.keyword)
                sounds[:] = event_sound(event) if known is None else challenge_sound(known)
            case Cause.SOUND:
                sounds[:] = event_sound(event)
            case Cause.ONE_AUTHOR:
                authors[:] = self._own_authors(event, language, 1)[0]
                sounds[:] = ORIGINAL_SOUND
            case Cause.SPAM:
                authors = rng.choice(self._own_authors(event, language, 15), count)
        tag = f"#{event.keyword}"
        fillers = self._vocabulary.fillers[language]
        fixed = np.random.default_rng([event.number, event.first])
        for second, author, sound in zip(
            (rng.random(count) * WINDOW_SECONDS).tolist(), authors.tolist(), sounds.tolist(), strict=True
        ):
            # Companions are hashtags that are everywhere, so that the excess is of the event's keyword alone.
            source = fixed if event.cause is Cause.SPAM else rng
            tags = [tag, *(f"#{EVERYWHERE[i]}" for i in source.integers(0, 5, 2).tolist())]
            words = [fillers[i] for i in source.integers(0, len(fillers), 4).tolist()] if fillers else []
            if event.cause is Cause.SPAM:
                fixed = np.random.default_rng([event.number, event.first])
                tags.append(f"https://example.com/p{event.number}")
            text = " ".join(words + tags)
            hashtags = tuple(dict.fromkeys(each for each in tags if each.startswith("#")))
            yield Draft(second, author, language, text, hashtags, sound, event=True)

    def _own_authors(self, event: Event, language: int, count: int) -> IntArray:
        # From the quiet end of the list: their usual activity explains nothing.
        last = self._author_base[language + 1] - 1 - (event.number * 15) % max(1, self._author_count[language] - 15)
        return np.asarray(last - np.arange(count))

    def _authors(self, languages: IntArray, subjects: IntArray, rng: np.random.Generator) -> IntArray:
        counts = self._author_count[languages]
        rank = np.minimum(rng.pareto(0.5, len(languages)) * 3, 1e12).astype(np.int64) % counts
        faithful = rng.random(len(languages)) < _OWN_SUBJECT_SHARE
        rank[faithful] += (subjects - rank % len(SUBJECTS))[faithful]
        return np.asarray(self._author_base[languages] + rank)

    def _fill(
        self, slots: Slots, classes: IntArray, atom_factor: FloatArray, rng: np.random.Generator
    ) -> list[list[str]]:
        lengths = np.searchsorted(np.cumsum(slots.length[:-1]), rng.random(len(classes)), side="right")
        atoms = slots.sampler(atom_factor)(np.repeat(classes, lengths), rng.random(int(lengths.sum()))).tolist()
        surfaces = self._vocabulary.surfaces
        ends = np.cumsum(lengths).tolist()
        return [
            [surfaces[atom] for atom in atoms[end - length : end]]
            for end, length in zip(ends, lengths.tolist(), strict=True)
        ]

    def _text(
        self, language: int, words: Sequence[str], tags: Sequence[str], emoji: Sequence[str],
        chances: Sequence[float], bits: int,
    ) -> str:  # fmt: skip
        parts: list[str] = []
        fillers = self._vocabulary.fillers[language]
        for word in words:
            if fillers and bits & 1:
                parts.append(fillers[bits % len(fillers)])
            bits = bits >> 1 | (bits & 1) << 29
            parts.append(word)
        if parts and bits & 2:
            parts[0] = parts[0].capitalize()
        if chances[0] < _MENTION_SHARE:
            parts.append(f"@user.{bits % 9973}")
        if chances[1] < _DIGITS_SHARE:
            parts.append(str(bits % 2100))
        parts += emoji
        parts += tags
        if chances[2] < _URL_SHARE:
            parts.append(f"https://example.com/v/{bits:x}")
        return (" " if chances[3] < 0.9 else "\n").join(parts)
