"""Days (UTC) on a command line."""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime, timedelta

from apache_beam.options.pipeline_options import PipelineOptions

from programs.errors import UserError


class DayOptions(PipelineOptions):
    """The day that a daily pipeline is about."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--date", default="", help="the day, YYYY-MM-DD (UTC)")


def parse_date(text: str, option: str) -> date:
    """Read a day.

    Raises:
        UserError: it is none; the message names the option.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        msg = f"{option}={text}: expected a day, YYYY-MM-DD (UTC)"
        raise UserError(msg) from None


def days_between(first: date, last: date) -> tuple[date, ...]:
    """Return the days from ``first`` to ``last``, both included.

    Raises:
        UserError: ``last`` is before ``first``.
    """
    if last < first:
        msg = f"--from={first} is after --to={last}"
        raise UserError(msg)
    return tuple(first + timedelta(days=i) for i in range((last - first).days + 1))


def start_of(day: date) -> datetime:
    """Return the first moment of a day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def today() -> date:
    """Return the current day."""
    return datetime.now(UTC).date()
