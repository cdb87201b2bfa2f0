"""The daily statistics: baselines for the detector from the history of counts, and what trended on the day.

    python -m beam_pipelines.stats --date 2026-11-23
    python -m beam_pipelines.stats --date 2026-11-23 --counts history.csv.gz --totals totals.csv.gz
    python -m beam_pipelines.stats --counts history.csv.gz --totals totals.csv.gz

With --date the history is that of the days in Postgres that `beam_pipelines.parse` has completed, up to that day; files
of counts, if given, stand in for days before those. Without it the files alone are the history, and there are no trends.
The version appears in one transaction; a running stream takes it up by itself within ``--baselines_every_seconds``, unless
there is one whose history goes further. It serves any alert budget, so --alerts_per_day changes nothing here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.batch import BATCH_RUNNERS, BatchRunner
from beam_pipelines.command_line import check_known, print_help, wants_help
from beam_pipelines.counts_files import read_history
from beam_pipelines.days import DayOptions, parse_date, start_of
from beam_pipelines.detector_options import DetectorOptions, detector_of
from beam_pipelines.publication import KEPT_VERSIONS, publish
from beam_pipelines.stats_options import StatsOptions
from beam_pipelines.trends import write_trends
from detection.counts import CountHistory
from detection.detector import Detector
from detection.keyword_detector import KeywordDetector
from detection.threshold import ThresholdDetector
from programs.errors import UserError, start
from programs.postgres import connect
from transforms.baselines import newest_version
from transforms.history import ReadHistory


def history_days(connection: Any, day: date, most: int) -> list[date]:
    """Return the parsed days up to a day that follow each other without a gap, in order.

    Raises:
        UserError: the day itself has not been parsed.
    """
    first = day - timedelta(days=most - 1)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT date FROM parsed_days WHERE date BETWEEN %s AND %s AND posts > 0", (first, day))
        parsed = {row[0] for row in cursor.fetchall()}
    days: list[date] = []
    while day - timedelta(days=len(days)) in parsed:
        days.append(day - timedelta(days=len(days)))
    if not days:
        msg = f"{day} has no parsed posts: run `python -m beam_pipelines.parse --date {day}` first"
        raise UserError(msg)
    older = sorted(parsed - set(days))
    if older:
        print(
            f"the history begins on {days[-1]}: {days[-1] - timedelta(days=1)} has not been parsed, so {len(older)} earlier "
            "days are left out",
            file=sys.stderr,
        )
    return days[::-1]


def with_history(detector: Detector, days: int) -> KeywordDetector | ThresholdDetector:
    """Return a detector that learns from so many days at most.

    Raises:
        UserError: that is not one day.
    """
    if days < 1:
        msg = f"--history_days={days}: expected at least 1"
        raise UserError(msg)
    if isinstance(detector, ThresholdDetector):
        return replace(detector, history_days=min(days, detector.history_days))  # the rule is one of a week
    assert isinstance(detector, KeywordDetector)
    return replace(detector, history_days=days)


def _publish(history: CountHistory, files: CountHistory | None, detector: Detector) -> None:
    connection = connect("stats-publish")
    publish(connection, detector, history if files is None else files.followed_by(history))
    connection.close()


@contextmanager
def _told(connection: Any, detector: Detector) -> Iterator[None]:
    """Say what is published in the block; that may be done in a worker, whose output nobody sees."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(version), 0) FROM baseline_versions")
        (before,) = cursor.fetchone()
    yield
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT version, keywords, extract(epoch FROM history_to - history_from) / 86400 FROM baseline_versions "
            "WHERE detector = %s AND version > %s ORDER BY version DESC LIMIT 1",
            (detector.name, before),
        )
        published = cursor.fetchone()
    if published is None:
        print(f"the baselines are not kept: there are {KEPT_VERSIONS} versions whose history goes further")
        return
    version, keywords, days = published
    print(f"baselines version {version} ({detector.name}): {keywords:,} keywords, {days:.0f} days of history")
    in_force = newest_version(connection, detector.name)
    if in_force != version:
        print(f"version {in_force} stays in force: its history goes further")


def build(pipeline: beam.Pipeline, days: Sequence[date], files: CountHistory | None, detector: Detector) -> None:
    """Put together what reads a history and publishes what a detector learns from it."""
    (
        pipeline
        | "Days" >> beam.Create([day.isoformat() for day in days])
        | "ReadHistory" >> ReadHistory()
        | "Publish" >> beam.Map(_publish, files, detector)
    )


def run(argv: Sequence[str]) -> int:
    """Parse the options, fit, publish."""
    if wants_help(argv):
        print_help(
            "beam_pipelines.stats",
            __doc__,
            BATCH_RUNNERS,
            "",
            DayOptions,
            StatsOptions,
            DetectorOptions,
        )
        return 0
    check_known(argv)
    runner = BatchRunner(argv, "tiktok-stats")
    options = PipelineOptions(runner.arguments).view_as(StatsOptions)
    date_given = options.view_as(DayOptions).date
    detector = with_history(detector_of(options), options.history_days)
    if not (date_given or options.counts):
        msg = "give the day with --date, or files with --counts"
        raise UserError(msg)
    files = None
    if options.counts:
        files = read_history([Path(name) for name in options.counts], Path(options.totals) if options.totals else None)
    if not date_given:
        assert files is not None
        with closing(connect("stats")) as connection, _told(connection, detector):
            _publish(files, None, detector)
        return 0
    day = parse_date(date_given, "--date")
    connection = connect("stats")
    days = history_days(connection, day, detector.history_days)
    if files is not None and files.end < start_of(days[0]).timestamp():
        msg = f"the files of --counts end before {days[0]}, the first day of the history in Postgres"
        raise UserError(msg)
    with _told(connection, detector), runner:
        runner.run(partial(build, days=days, files=files, detector=detector))
    print(f"{day}: {write_trends(connection, day):,} trends")
    connection.close()
    return 0


if __name__ == "__main__":
    # Workers import this module by its name; what is defined in __main__ they could not find.
    from beam_pipelines import stats  # noqa: PLW0406

    start(stats.run)
