"""The NAB scoring, at its fixed points."""

import numpy as np
import pytest

from benchmarks.detector import measure, nab
from benchmarks.detector.world import WorldSpec, simulate

SPANS = [[(100, 140)], [(300, 340), (500, 540)]]


def score(*found: list[int]) -> float:
    return nab.scaled_score(found, SPANS, [0, 0])


def test_silence_is_zero_and_perfection_a_hundred():
    assert score([], []) == pytest.approx(0.0)
    assert score([100], [300, 500]) == pytest.approx(100.0, abs=1)


def test_early_is_better_and_repeats_earn_nothing():
    assert score([100], []) > score([120], []) > score([139], []) > 0
    assert score([100, 101, 102], []) == score([100], [])


def test_a_false_positive_costs_little_and_less_just_behind_a_span():
    assert score([], [10]) == pytest.approx(-100 * 0.11 / (3 * 1.9866), rel=0.01)
    assert score([], [10]) < score([], [342]) < 0


def test_repeats_are_suppressed():
    assert nab.suppress(np.array([5, 6, 50, 105, 110]), 96) == [5, 105]


def test_the_truth_as_a_score_is_perfect():
    world = simulate(WorldSpec(keywords=60, days=32, events_per_day=300), 3)
    labels = world.labels[:, world.first_window :].T.astype(np.float32)
    found = measure.on_world(world, labels)
    assert len(world.events) > 5
    assert found.event_aupr == pytest.approx(1.0)
    assert found.recall == 1.0


def test_the_same_seed_gives_the_same_world():
    spec = WorldSpec(keywords=10, days=30)
    np.testing.assert_array_equal(simulate(spec, 1).counts, simulate(spec, 1).counts)
