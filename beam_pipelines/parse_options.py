"""Options of the daily parse and the validated, frozen settings made of them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import date, timedelta

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.counting_options import CountingOptions
from beam_pipelines.days import DayOptions, days_between, parse_date
from beam_pipelines.lake_address import lake_address
from programs.errors import UserError


class ParseOptions(PipelineOptions):
    """Options of the daily parse; those of Beam and of the runner are accepted beside them."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("parse")
        group.add_argument("--from", default="", help="first day of a backfill; with --to in place of --date")
        group.add_argument("--to", default="", help="last day of a backfill, inclusive; default: yesterday")
        group.add_argument(
            "--force", action="store_true", help="backfill: parse days again that have been parsed already"
        )
        group.add_argument(
            "--late_hours",
            type=int,
            default=3,
            help="hours of the next day in which late posts are looked for; default: %(default)s",
        )
        group.add_argument(
            "--slice_posts",
            type=int,
            default=0,
            help="posts that are counted at a time, in whole hours: memory is bounded by it; default: 250,000 on the "
            "DirectRunner, no bound on Flink, which spills to disk",
        )
        group.add_argument(
            "--skip_broken",
            action="store_true",
            help="go on without objects of the archive that cannot be read, and note them in parsed_days",
        )


@dataclass(frozen=True)
class ParseConfig:
    """Validated settings of the parse; the fields are the options of the same names, days in order."""

    days: tuple[date, ...]
    backfill: bool
    force: bool
    lake: str
    late_hours: int
    allowed_lateness_seconds: int
    slice_posts: int
    shards: int
    skip_broken: bool

    @classmethod
    def of(cls, options: PipelineOptions, *, bounded_memory: bool, today: date) -> ParseConfig:
        """Validate the options.

        Args:
            options: as they were given.
            bounded_memory: whether the runner keeps a step's data in memory.
            today: the current day (UTC).

        Raises:
            UserError: one of them makes no sense; the message names it.
        """
        own, counting = options.view_as(ParseOptions), options.view_as(CountingOptions)
        day, first, last = options.view_as(DayOptions).date, getattr(own, "from"), own.to
        if bool(day) == bool(first) or (last and not first):
            msg = "give the day with --date, or a range of days with --from and --to"
            raise UserError(msg)
        if day:
            days: tuple[date, ...] = (parse_date(day, "--date"),)
        else:
            end = parse_date(last, "--to") if last else today - timedelta(days=1)
            days = days_between(parse_date(first, "--from"), end)
        config = cls(
            days=days,
            backfill=not day,
            force=own.force,
            lake=lake_address(counting.lake),
            late_hours=own.late_hours,
            allowed_lateness_seconds=counting.allowed_lateness_seconds,
            slice_posts=own.slice_posts or (250_000 if bounded_memory else 2**62),
            shards=counting.shards,
            skip_broken=own.skip_broken,
        )
        checks = (
            (0 <= config.late_hours <= 24, "--late_hours: expected 0 to 24"),
            (config.allowed_lateness_seconds >= 0, "--allowed_lateness_seconds: expected 0 or more seconds"),
            (config.slice_posts > 0, "--slice_posts: expected at least 1"),
            (config.shards > 0, "--shards: expected at least 1"),
            # The batch takes the place of the stream: of a day that goes on it would close windows that are to come.
            (
                days[-1] < today,
                f"the day {days[-1]} is not over yet (UTC); the last one that is: {today - timedelta(days=1)}",
            ),
        )
        for holds, message in checks:
            if not holds:
                raise UserError(message)
        return config
