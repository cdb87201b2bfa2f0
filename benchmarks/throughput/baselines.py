"""Baselines of as many keywords as are wanted, for the posts that are measured with, published in Postgres.

A few thousand keywords are fitted, over all ranks of the vocabulary, as the daily fit does it. Every other keyword gets the
row of the nearest of them, with its own level: a million in seconds.
"""

from __future__ import annotations

import time

import numpy as np
import psycopg2

from beam_pipelines.publication import publish_table
from benchmarks.throughput.posts import WORDS_PER_POST, probabilities, word
from detection.baselines import BaselineTable, keyword_hashes
from detection.fit import fit
from detection.hourly import DAY_SECONDS, HOURS_PER_DAY, WINDOWS_PER_HOUR, HourlyCounts
from detection.keyword_detector import KeywordDetector

_DAYS = 28
_SAMPLE = 2_000


def make_baselines(keywords: int, vocabulary: int, posts_per_window: float) -> BaselineTable:
    """Return the baselines of the first words.

    Args:
        keywords: number of baselines; those beyond the vocabulary are of words that no post has, as rare as its last.
        vocabulary: number of words that posts are made of.
        posts_per_window: usual number of posts in a window.
    """
    mentioned = posts_per_window * (1 - (1 - probabilities(vocabulary)) ** WORDS_PER_POST)
    levels = mentioned[np.minimum(np.arange(keywords), vocabulary - 1)]
    sample = np.unique(np.geomspace(1, keywords, min(keywords, _SAMPLE)).astype(np.int64)) - 1
    rng = np.random.default_rng(0)
    windows = rng.poisson(levels[sample], (_DAYS * HOURS_PER_DAY, WINDOWS_PER_HOUR, len(sample))).astype(np.float32)
    hourly = HourlyCounts(
        int(time.time()) // DAY_SECONDS * DAY_SECONDS - _DAYS * DAY_SECONDS,
        windows.sum(axis=1),
        np.square(windows).sum(axis=1),
        windows.max(axis=1),
        np.ones(_DAYS * HOURS_PER_DAY),
    )
    detector, names = KeywordDetector(), [word(i) for i in range(keywords)]
    hashes = keyword_hashes(names)
    fitted = detector.table(hashes[sample], [fit(hourly, None, keywords)], posts_per_window, 0)
    rows = fitted.find(hashes[sample])
    sample, rows = sample[rows >= 0], rows[rows >= 0]
    nearest = rows[np.minimum(np.searchsorted(sample, np.arange(keywords)), len(sample) - 1)]
    columns = {name: values[nearest] for name, values in fitted.columns.items()}
    columns["level"] = levels.astype(np.float32)
    return BaselineTable.build(0, detector.name, hashes, columns, fitted.pooled)


def publish_baselines(keywords: int, vocabulary: int, posts_per_window: float) -> None:
    """Publish such baselines; Postgres is found by its environment variables."""
    table = make_baselines(keywords, vocabulary, posts_per_window)
    today = int(time.time()) // DAY_SECONDS * DAY_SECONDS
    connection = psycopg2.connect("")
    names = [word(i) for i in range(keywords)]
    publish_table(connection, KeywordDetector(), table, names, today - _DAYS * DAY_SECONDS, today)
    connection.close()
