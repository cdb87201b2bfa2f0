"""The threshold rule, against numpy's mean and standard deviation of the dense series."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detection.baselines import BaselineTable, keyword_hashes
from detection.counts import WINDOW_SECONDS, CountHistory, WindowCounts
from detection.threshold import NoState, ThresholdDetector

DAY = 86_400


def history_of(dense: np.ndarray, words: tuple[str, ...], end: int) -> CountHistory:
    """Make a sparse history of dense counts [keyword, window] that end at ``end``."""
    keyword, window = np.nonzero(dense)
    order = np.random.default_rng(0).permutation(len(keyword))
    keyword, window = keyword[order], window[order]
    start = end - dense.shape[1] * WINDOW_SECONDS
    return CountHistory(
        words,
        keyword.astype(np.int32),
        start + window * WINDOW_SECONDS,
        dense[keyword, window].astype(np.int64),
        start,
        end,
        np.full(dense.shape[1], np.nan),
    )


def counts(**mentions: int) -> WindowCounts:
    return WindowCounts(100 * DAY, np.nan, tuple(mentions), np.array(list(mentions.values()), np.int64))


def baseline(**rows: tuple[float, float]) -> BaselineTable:
    level, dispersion = np.array(list(rows.values()), np.float32).T
    return BaselineTable.build(3, "threshold", keyword_hashes(rows), {"level": level, "dispersion": dispersion})


@pytest.mark.parametrize("days", [2, 7, 9])
def test_fit_is_mean_and_deviation_of_all_windows_of_the_last_days(days):
    words = ("often", "seldom", "once", "never")
    dense = np.random.default_rng(1).poisson([[40.0], [0.2], [0.0], [0.0]], (4, 96 * days))
    dense[2, -1] = 5
    dense[0, 0] = 100_000  # counts only where the history is no longer than seven days
    detector = ThresholdDetector()
    table = detector.fit(history_of(dense, words, 200 * DAY), version=12)
    recent = dense[:, -96 * min(days, 7) :]
    rows = table.find(keyword_hashes(words))
    assert (table.version, table.detector) == (12, "threshold")
    np.testing.assert_allclose(table.columns["level"][rows], recent.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(table.columns["dispersion"][rows], recent.std(axis=1), rtol=1e-4)


def test_outlier_from_two_and_a_half_deviations_on():
    table = baseline(a=(10, 4), b=(10, 4), c=(10, 4))
    scores = ThresholdDetector().score(counts(a=19, b=20, c=10), table, NoState())
    assert scores.is_outlier.tolist() == [False, True, False]
    np.testing.assert_allclose(scores.expected, 10)
    np.testing.assert_allclose(scores.upper, 20)
    np.testing.assert_allclose(scores.lower, 0)
    np.testing.assert_allclose(scores.excess, [9, 10, 0])
    np.testing.assert_allclose(scores.score, [2.25, 2.5, 0])
    np.testing.assert_allclose(scores.p_value, stats.norm.sf([2.25, 2.5, 0]))


def test_keywords_below_the_least_mean_are_never_outliers():
    scores = ThresholdDetector().score(counts(rare=500, known=500), baseline(rare=(0.9, 1), known=(1, 1)), NoState())
    assert scores.is_outlier.tolist() == [False, True]


def test_severity_rises_with_the_deviations():
    table = baseline(**dict.fromkeys("abcde", (10, 1)))
    scores = ThresholdDetector().score(counts(a=12, b=13, c=15, d=20, e=30), table, NoState())
    assert scores.severity.tolist() == [0, 1, 2, 3, 4]
    assert scores.severity.dtype == np.int8


def test_a_keyword_that_never_varied_is_no_outlier_at_its_level_and_one_above():
    table = baseline(a=(5, 0), b=(5, 0))
    scores = ThresholdDetector().score(counts(a=5, b=8), table, NoState())
    assert scores.is_outlier.tolist() == [False, True]
    assert scores.score.tolist() == [0, 3]


@pytest.mark.parametrize("table", [BaselineTable.empty("threshold"), baseline(other=(9, 1))])
def test_unknown_keywords_are_not_judged(table):
    scores = ThresholdDetector().score(counts(new=10**6), table, NoState())
    assert not scores.is_outlier.any()
    assert scores.expected.tolist() == [0]


def test_no_keyword_no_score():
    scores = ThresholdDetector().score(counts(), baseline(a=(5, 1)), NoState())
    assert all(len(getattr(scores, name)) == 0 for name in ("expected", "p_value", "severity", "excess"))


def test_order_of_keywords_does_not_matter():
    table = baseline(a=(10, 1), b=(20, 2), c=(30, 3))
    there = ThresholdDetector().score(counts(a=12, b=50, c=31), table, NoState())
    back = ThresholdDetector().score(counts(c=31, b=50, a=12), table, NoState())
    np.testing.assert_array_equal(there.score, back.score[::-1])
