"""What people read of a table of baselines."""

from __future__ import annotations

import numpy as np
import pytest

from detection.baselines import BaselineTable, keyword_hashes
from detection.counts import CountHistory
from detection.detector import Summary
from detection.keyword_detector import KeywordDetector
from detection.threshold import ThresholdDetector

MONDAY = 1_614_556_800
WEEKS = 4


def history() -> CountHistory:
    """Two keywords: one that triples on Mondays from 09:00 to 12:00 UTC, one that is always the same and rare."""
    rng = np.random.default_rng(0)
    mean = np.stack([np.full(WEEKS * 672, 40.0), np.full(WEEKS * 672, 0.02)])
    for week in range(WEEKS):
        mean[0, week * 672 + 36 : week * 672 + 48] *= 3
    counts = rng.poisson(mean)
    keyword, window = np.nonzero(counts)
    return CountHistory(
        ("mondays", "rare"), keyword.astype(np.int32), MONDAY + window * 900, counts[keyword, window], MONDAY,
        MONDAY + WEEKS * 7 * 86_400, np.full(WEEKS * 672, 500.0),
    )  # fmt: skip


def test_level_deviation_season_and_tail_of_a_keyword():
    detector = KeywordDetector()
    table = detector.fit(history(), 1)
    summary = detector.summary(table)
    busy, rare = table.find(keyword_hashes(["mondays", "rare"]))
    assert summary.level[busy] == pytest.approx(40, rel=0.1)
    assert summary.deviation[busy] >= np.sqrt(summary.level[busy])
    assert summary.level[rare] < 0.05
    assert summary.season[rare] == -1
    season = np.exp(summary.seasons[summary.season[busy]] * summary.season_step)
    assert season[9:12].min() > 1.7  # the week begins on Monday
    assert season[57:60].max() < 1.3
    assert summary.tail.shape == (2, 3)
    assert summary.pooled["usual_posts"] == pytest.approx(500)
    assert len(summary.pooled["season"]) == 168


@pytest.mark.parametrize("detector", [KeywordDetector(), ThresholdDetector()])
def test_of_nothing_there_is_nothing_to_read(detector):
    summary = detector.summary(BaselineTable.empty(detector.name))
    assert len(summary.level) == len(summary.season) == len(summary.tail) == 0
    assert len(Summary.empty().seasons) == 0


def test_the_rule_has_neither_season_nor_tail():
    detector = ThresholdDetector()
    summary = detector.summary(detector.fit(history(), 1))
    assert summary.tail.shape == (2, 0)
    assert summary.season.tolist() == [-1, -1]
