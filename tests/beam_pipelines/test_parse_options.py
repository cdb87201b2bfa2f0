"""The options of the daily parse: what is refused, and the days that are meant."""

from __future__ import annotations

from datetime import date

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.parse_options import ParseConfig
from programs.errors import UserError

TODAY = date(2026, 11, 24)


def config(*arguments: str) -> ParseConfig:
    return ParseConfig.of(PipelineOptions(["--lake=lake", *arguments]), bounded_memory=True, today=TODAY)


@pytest.mark.parametrize(
    "arguments", [["--date=2026-11-24"], ["--date=2026-11-25"], ["--from=2026-11-20", "--to=2026-11-24"]]
)
def test_a_day_that_is_not_over_is_refused(arguments: list[str]):
    with pytest.raises(UserError, match=r"is not over yet \(UTC\); the last one that is: 2026-11-23"):
        config(*arguments)


def test_the_last_day_that_is_over_is_the_end_of_a_backfill():
    assert config("--date=2026-11-23").days == (date(2026, 11, 23),)
    assert config("--from=2026-11-22").days == (date(2026, 11, 22), date(2026, 11, 23))
