"""The measure of drops: silences are put where mentions were certain, and what is told of them is counted."""

from __future__ import annotations

import numpy as np

from benchmarks.detector.drops import measure, silence
from benchmarks.detector.world import WorldSpec, simulate
from detection.keyword_detector import KeywordDetector

WORLD = simulate(WorldSpec(keywords=60, days=10, first_event_day=7, events_per_day=0.0, median_rate=20.0), 3)


def test_silences_are_found_and_nothing_else_is() -> None:
    world, silences = silence(WORLD, 1)
    assert len(silences) == 8  # four on each whole day but the last
    for one in silences:
        assert world.counts[one.keyword, one.start : one.end].mean() < 0.3 * WORLD.rates[one.keyword].mean()
    report = measure(world, silences, KeywordDetector(10.0))
    assert report.recall > 0.7
    assert 1 <= report.delay <= 4
    assert report.false_per_day == 0


def test_without_silences_there_is_no_recall() -> None:
    report = measure(WORLD, [], KeywordDetector(10.0))
    assert (report.silences, report.recall) == (0, 0)
    assert np.isnan(report.delay)
