"""The threshold keeps the budget."""

import numpy as np
import pytest

from detection import budget
from detection.record import calibration, common_tail


def test_recent_incidents_would_have_kept_to_the_budget():
    scores = np.random.default_rng(0).exponential(1.0, (28, 5000))
    least = budget.threshold(budget.Record.of(scores, 10.0), 20.0)
    assert (scores[-7:] > least).sum() <= 140


def test_few_keywords_alarm_by_their_own_record_alone():
    assert budget.threshold(budget.Record.of(np.zeros((28, 3)), 3.0), 100.0) == pytest.approx(
        np.log10(1 + budget.LEAST_RETURN_DAYS)
    )


def test_a_smaller_budget_is_stricter():
    scores = np.random.default_rng(0).exponential(1.0, (28, 5000))
    record = budget.Record.of(scores, 5000.0)
    strict, wide = (budget.threshold(record, n) for n in (10.0, 1000.0))
    assert strict > wide


def test_days_before_a_keyword_existed_spend_nothing():
    scores = np.full((28, 400), np.nan)
    scores[:, :50] = 3.0
    assert budget.Record.of(scores, 50.0).scores.shape == (budget.RECENT_DAYS * 50,)


def test_a_day_without_any_record_adds_nothing_to_what_may_be_spent():
    scores = np.random.default_rng(0).exponential(1.0, (3, 5000))
    scores[0] = np.nan  # a history's first day
    record = budget.Record.of(scores, 10.0)
    assert record.days == 2
    assert (scores[1:] > budget.threshold(record, 20.0)).sum() <= 40


def test_a_history_without_any_record_is_no_record():
    record = budget.Record.of(np.full((1, 10), np.nan), 10.0)
    assert budget.threshold(record, 100.0) == budget.UNTRIED_SCORE


def test_a_part_of_the_keywords_has_a_part_of_the_budget():
    scores = np.random.default_rng(0).exponential(1.0, (28, 4000))
    whole = budget.threshold(budget.Record.of(scores, 4000.0), 40.0)
    part = budget.threshold(budget.Record.of(scores[:, :1000], 1000.0, 0.25), 40.0)
    assert part == pytest.approx(whole, rel=0.1)


def test_before_any_history_only_the_very_rare_is_told():
    assert budget.threshold(budget.NO_RECORD, 100.0) == 3.0


def test_severity_follows_the_return_period():
    assert budget.severity(np.array([0.9, 1.0, 2.0, 3.0, 9.0]), 1.0).tolist() == [0, 1, 2, 3, 4]


def test_the_tail_is_calibrated_on_its_own_family():
    days = np.random.default_rng(1).gumbel(5.0, 1.5, (200, 500))
    tail = common_tail(days.ravel())
    seen = (tail.log_return_days(days) > np.log10(101)).mean()
    assert seen == pytest.approx(0.01, rel=0.3)


def test_a_record_of_jumps_divides_the_surprise():
    scale = calibration(np.stack([np.full(28, 6.5), np.full(28, 26.0), np.full(28, np.nan)], axis=1))
    assert scale[0] == pytest.approx(1.0)
    assert scale[1] > 3
    assert scale[2] == 1.0
