"""Incidents: what belongs together, how it is called, and that it keeps its number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.incidents import (
    GAP_SECONDS,
    INCIDENT_GAP,
    NEVER,
    SHAPES,
    Known,
    OutlierWindow,
    follow,
    group,
    identify,
    shape,
)

START = 1_600_000_200
W = 900


def outlier(
    index: int, mentions: int = 50, score: float = 2.0, *, severity: int = 1, confirmed: bool = True
) -> OutlierWindow:
    return OutlierWindow(START + index * W, mentions, 5.0, score, severity, confirmed)


def test_outliers_at_most_a_day_apart_are_one_incident():
    incidents = group([outlier(i) for i in (0, 1, 97, 97 + INCIDENT_GAP, 98 + 2 * INCIDENT_GAP)])
    assert [(i.opened_at, i.last_at) for i in incidents] == [
        (START, START + (97 + INCIDENT_GAP) * W),
        (START + (98 + 2 * INCIDENT_GAP) * W,) * 2,
    ]
    assert group([]) == []


def test_an_incident_has_its_strongest_window_and_its_gravest_severity():
    (incident,) = group([
        outlier(0, score=2, severity=3, confirmed=False), outlier(2, 70, 4), outlier(1, score=4, confirmed=False),
    ])  # fmt: skip
    assert (incident.peak.window_start, incident.severity, incident.confirmed) == (START + W, 3, True)
    assert not group([outlier(0, confirmed=False)])[0].confirmed


@given(st.sets(st.integers(0, 800)), st.randoms())
def test_incidents_do_not_depend_on_order_and_are_what_the_backtest_follows(indices, random):
    windows = [outlier(i) for i in sorted(indices)]
    shuffled = random.sample(windows, len(windows))
    incidents = group(shuffled)
    assert incidents == group(windows)
    never = np.full(1, NEVER, np.int32)
    outlier_at, opened_at, opened = never, never, set()
    for i in sorted(indices):
        outlier_at, opened_at = follow(i, np.array([0]), outlier_at, opened_at)
        opened.add(int(opened_at[0]))
    assert {(incident.opened_at - START) // W for incident in incidents} == opened


@pytest.mark.parametrize(
    ("mentions", "name"),
    [
        ([90], "pulse"),
        ([90, 80], "pulse"),
        ([120, 60, 30, 20], "pulse"),
        ([60, 62, 58, 61], "pulse"),  # steady, but not for long
        ([20, 30, 45, 60, 80], "ramp_up"),
        ([15, 20, 25, 40, 45, 50, 60, 70, 75, 80], "ramp_up"),
        ([60, 55, 63, 58, 61, 57, 62, 60, 59, 61], "mean_shift"),
        ([90, 80, 70, 50, 40, 30, 25, 20, 15, 12], "pulse"),  # long, but falling
    ],
)
def test_shapes(mentions, name):
    assert shape([outlier(i, n) for i, n in enumerate(mentions)]) == name
    assert name in SHAPES


def test_pulses_of_a_day_are_no_shift():
    assert shape([outlier(i) for i in (0, 1, 40, 41)]) == "pulse"


def told(*spans: tuple[int, int, int], retracted: tuple[int, ...] = ()) -> list[Known]:
    return [Known(n, START + a * W, START + b * W, n in retracted) for n, a, b in spans]


def test_an_incident_keeps_its_number_while_it_grows_and_shrinks():
    for windows in ([0, 1, 2, 50], [1], [0], [-20, 0]):
        numbers, gone = identify(group([outlier(i) for i in windows]), told((7, 0, 1)))
        assert (numbers, gone) == ([7], [])


def test_a_new_incident_has_no_number_and_one_without_outliers_is_gone():
    assert identify(group([outlier(500)]), told((7, 0, 1))) == ([None], [7])
    assert identify([], told((7, 0, 1), (8, 300, 300), retracted=(8,))) == ([], [7])


def test_two_that_grow_together_keep_the_older_number():
    numbers, gone = identify(group([outlier(i) for i in (0, 80, 160)]), told((9, 0, 0), (4, 160, 160)))
    assert (numbers, gone) == ([4], [9])


def test_of_one_that_comes_apart_the_first_part_keeps_the_number():
    numbers, gone = identify(group([outlier(0), outlier(160)]), told((9, 0, 160)))
    assert (numbers, gone) == ([9, None], [])


def test_a_retracted_incident_can_come_back_but_an_open_one_goes_before_it():
    assert identify(group([outlier(1)]), told((3, 0, 0), retracted=(3,))) == ([3], [])
    assert identify(group([outlier(1)]), told((3, 0, 0), (5, 2, 2), retracted=(3,))) == ([5], [])
    assert GAP_SECONDS == 86_400
