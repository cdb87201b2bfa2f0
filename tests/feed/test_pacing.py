"""Pacing, with a clock that only sleeping moves."""

from __future__ import annotations

import pytest

from feed.pacing import Pacer


class Clock:
    def __init__(self):
        self.now = 100.0
        self.sleeps = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds


def test_without_a_pace_nothing_waits():
    clock = Clock()
    pacer = Pacer(clock=clock, sleep=clock.sleep)
    for second in range(100):
        pacer.wait(second * 1000)
    assert clock.sleeps == []


def test_a_rate_spreads_posts_evenly():
    clock = Clock()
    pacer = Pacer(rate=50, clock=clock, sleep=clock.sleep)
    moments = []
    for _ in range(201):
        pacer.wait(0)
        moments.append(clock.now - 100)
    assert moments[100] == pytest.approx(2, abs=0.01)
    assert moments[200] == pytest.approx(4, abs=0.01)


def test_a_rate_makes_up_for_a_slow_sink():
    clock = Clock()
    pacer = Pacer(rate=10, clock=clock, sleep=clock.sleep)
    pacer.wait(0)
    clock.now += 1
    for _ in range(20):
        pacer.wait(0)
    assert clock.now - 100 == pytest.approx(2, abs=0.01)


def test_speedup_follows_event_time():
    clock = Clock()
    pacer = Pacer(speedup=60, clock=clock, sleep=clock.sleep)
    for second, due in ((1000, 0), (1600, 10), (1300, 10), (2200, 20)):
        pacer.wait(second)
        assert clock.now - 100 == pytest.approx(due, abs=0.01)


def test_long_waits_tell_that_they_are_alive():
    clock = Clock()
    told = []
    pacer = Pacer(speedup=1, clock=clock, sleep=clock.sleep, idle=lambda: told.append(clock.now))
    pacer.wait(1)
    pacer.wait(11)
    assert len(told) >= 19
    assert max(clock.sleeps) <= 0.5


def test_a_long_stop_of_the_sink_is_not_made_up_for_in_one_burst():
    clock = Clock()
    pacer = Pacer(rate=10, clock=clock, sleep=clock.sleep)
    pacer.wait(0)
    clock.now += 1000
    for _ in range(100):
        pacer.wait(0)
    assert clock.now - 1100 == pytest.approx(5, abs=0.2)


def test_posts_of_unknown_time_are_due_at_once():
    clock = Clock()
    pacer = Pacer(speedup=1, clock=clock, sleep=clock.sleep)
    for second, due in ((0, 0), (1000, 0), (0, 0), (1005, 5)):
        pacer.wait(second)
        assert clock.now - 100 == pytest.approx(due, abs=0.01)
