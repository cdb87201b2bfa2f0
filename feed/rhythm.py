"""How many posts are expected when: hours of the day, days of the week, growth, surges.

Languages follow their speakers' local time, subjects have hours of their own (food at noon, dance in the evening), so
that keywords differ in their daily shapes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from feed.lexicon import LANGUAGES, SUBJECTS
from feed.vocabulary import FloatArray

WINDOW_SECONDS = 900
WINDOWS_PER_DAY = 96
SECONDS_PER_DAY = WINDOWS_PER_DAY * WINDOW_SECONDS
EPOCH = date(1970, 1, 1)

_SUBJECT_HOURS = (20, 19, 12, 7, 9, 11, 21, 17, 23, 15, 18, 14)
_WEEKDAYS = np.array([0.95, 0.94, 0.95, 0.98, 1.05, 1.13, 1.10])
_GROWTH_PER_DAY = 0.002
_CLASS_NOISE = 80.0
"""Shape of the gamma noise of a class's posts in a window."""


def day_number(day: date) -> int:
    """Days since the epoch."""
    return (day - EPOCH).days


def window_start(day: date, window: int) -> datetime:
    """Start of a window of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=window * WINDOW_SECONDS)


def expected_posts(day: date, posts: int, reference: date) -> FloatArray:
    """Expected posts per window and class of a UTC day; shape (WINDOWS_PER_DAY, CLASSES).

    Args:
        day: the day.
        posts: expected posts of the whole ``reference`` day.
        reference: the day that ``posts`` speaks of; others differ by growth and by the days of the week.
    """
    scale = posts / _shape(reference).sum() * np.exp(_GROWTH_PER_DAY * (day - reference).days)
    return np.asarray(scale * _shape(day))


def local_hours(language: int) -> FloatArray:
    """Local time of a language's speakers at the middle of each window of a UTC day, hours; may be below 0 or above 24."""
    return (np.arange(WINDOWS_PER_DAY) + 0.5) * WINDOW_SECONDS / 3600 + LANGUAGES[language].utc_offset


def local_weekdays(day: date, language: int) -> NDArray[np.int64]:
    """Local day of the week at each window of a UTC day, 0 for Monday."""
    return (day.weekday() + np.floor(local_hours(language) / 24).astype(np.int64)) % 7


def class_noise(rng: np.random.Generator, windows: int, classes: int) -> FloatArray:
    """Gamma noise of mean 1: what makes counts of whole subjects and of the platform over-dispersed."""
    platform = rng.gamma(600.0, 1 / 600.0, (windows, 1))
    return np.asarray(platform * rng.gamma(_CLASS_NOISE, 1 / _CLASS_NOISE, (windows, classes)))


def surge(rng: np.random.Generator, strength: float, share: float = 1.0) -> FloatArray:
    """Factor on all posts per window: with probability ``share``, one rise of the whole platform, of 6 to 10 windows."""
    factor = np.ones(WINDOWS_PER_DAY)
    if rng.random() >= share:
        return factor
    start, length = int(rng.integers(20, 80)), int(rng.integers(6, 11))
    factor[start : start + length] += (strength - 1) * np.sin(np.linspace(0.4, np.pi - 0.4, length))
    return factor


def _shape(day: date) -> FloatArray:
    columns = []
    for number, language in enumerate(LANGUAGES):
        local = local_hours(number)
        weekday = _WEEKDAYS[local_weekdays(day, number)]
        waking = 1 + 0.65 * np.cos(2 * np.pi * (local - 18.5) / 24) + 0.15 * np.cos(4 * np.pi * (local - 20) / 24)
        for hour in _SUBJECT_HOURS[: len(SUBJECTS)]:
            own = 1 + 0.35 * np.cos(2 * np.pi * (local - hour) / 24)
            columns.append(language.share / len(SUBJECTS) * weekday * waking * own)
    return np.stack(columns, axis=1)
