"""The daily statistics, as far as they need no Postgres: how much history a detector takes."""

from __future__ import annotations

import pytest

from beam_pipelines import stats
from beam_pipelines.detectors import make_detector
from programs.errors import UserError


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [("return_period", 60, 60), ("return_period", 5, 5), ("threshold", 60, 7), ("threshold", 3, 3)],
)
def test_the_detector_learns_from_the_days_that_were_asked_for(name: str, given: int, taken: int):
    assert stats.with_history(make_detector(name), given).history_days == taken


def test_a_history_of_no_days_is_refused():
    with pytest.raises(UserError, match="--history_days=0: expected at least 1"):
        stats.run(["--date=2026-11-23", "--history_days=0"])


def test_the_help_says_that_a_fit_has_no_budget(capsys: pytest.CaptureFixture[str]):
    assert stats.run(["--help"]) == 0
    assert "--alerts_per_day changes nothing here" in " ".join(capsys.readouterr().out.split())
