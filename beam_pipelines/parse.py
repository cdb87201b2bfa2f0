"""The daily parse: a day's raw posts from the archive into Postgres, with the stream's own transforms.

    python -m beam_pipelines.parse --date 2026-11-23                          # a process per core
    python -m beam_pipelines.parse --date 2026-11-23 --runner=FlinkRunner     # on the cluster
    python -m beam_pipelines.parse --from 2026-11-01 --to 2026-11-23          # a backfill; goes on where it was stopped

Fills posts, keyword_windows, window_totals, keyword_daily, challenge_daily, music_daily and dead_letters of the day. They
change all at once: a run that fails, or is stopped, leaves the day as it was, and a run that is repeated gives the same
rows. Posts that came too late for the stream are found in the hours after the day, posts that ran ahead in the hour before
it; of posts that came twice the latest counts. Addresses and secrets come from the environment or `.env`: PGHOST …, AWS_…, LAKE.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from typing import Any

import apache_beam as beam
import msgspec
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines import day_tables
from beam_pipelines.batch import BATCH_RUNNERS, BatchRunner
from beam_pipelines.command_line import check_known, print_help, wants_help
from beam_pipelines.counting_options import CountingOptions
from beam_pipelines.day_tables import DaySummary
from beam_pipelines.days import DayOptions, start_of, today
from beam_pipelines.lake_address import check_lake
from beam_pipelines.parse_options import ParseConfig, ParseOptions
from programs.errors import UserError, start
from programs.postgres import connect
from transforms import lake, readable
from transforms.counted_posts import CountedPosts
from transforms.daily import Part, ReadParts, StageUncounted, StageWindows
from transforms.mentions import CountMentions
from transforms.staging import ParseRun
from transforms.survey import DEAD, DUPLICATE, HOUR_MASK, SurveyArchive, SurveyedObject, read_survey
from transforms.windows import CountedWindow, MergePanes, WindowMentions

HOURS = 24
PROGRESS_SECONDS = 5


def objects_of(prefix: str, day: date, late_hours: int) -> list[str]:
    """Return the addresses of the objects that may hold posts of a day: its own, and those of the hours around it.

    Late posts lie in the hours after the day. In the hour before it lie those of its first minutes that ran ahead: an
    object has the hour of its records' own timestamps, and a ``time_stamp`` may be 15 minutes later.
    """
    before, after = day - timedelta(days=1), day + timedelta(days=1)
    found = list(lake.find(f"{prefix}/raw/dt={before}/hh=23/"))
    found += lake.find(f"{prefix}/raw/dt={day}/")
    for hour in range(late_hours):
        found += lake.find(f"{prefix}/raw/dt={after}/hh={hour:02d}/")
    return found


def slices(survey: Sequence[SurveyedObject], most_posts: int) -> list[tuple[int, int]]:
    """Cut the day into runs of whole hours of at most so many lines, where an hour alone does not have more.

    Returns:
        First hour and the hour after the last, of each slice; together they cover the 24 hours.
    """
    lines = np.zeros(HOUR_MASK + 1, np.int64)
    for found in survey:
        lines += np.bincount(found.coded() & HOUR_MASK, minlength=HOUR_MASK + 1)
    cuts, held = [0], 0
    for hour in range(HOURS):
        if held and held + lines[hour] > most_posts:
            cuts.append(hour)
            held = 0
        held += int(lines[hour])
    return list(zip(cuts, [*cuts[1:], HOURS], strict=True))


def parts_of(survey: Sequence[SurveyedObject], first_hour: int, end_hour: int) -> list[bytes]:
    """Return the packed parts of a slice: the objects that hold lines of it."""
    parts = (Part(found, first_hour, end_hour) for found in survey)
    return [msgspec.msgpack.encode(part) for part in parts if len(part.wanted())]


def build(
    pipeline: beam.Pipeline, parts: Sequence[bytes], run: ParseRun, dropped: frozenset[str], config: ParseConfig
) -> None:
    """Put together what counts and stages a slice of a day."""
    day_start = int(start_of(date.fromisoformat(run.date)).timestamp())
    read = (
        pipeline
        | "Parts" >> beam.Create(parts)
        | "Spread" >> beam.Reshuffle()
        | "ReadParts" >> ReadParts(run, day_start, config.allowed_lateness_seconds, dropped)
    )
    counted = _count(read[ReadParts.POSTS], "", config.shards)
    counted | "StageWindows" >> StageWindows(run)
    for kind in (ReadParts.LATE, ReadParts.DUPLICATES):
        _count(read[kind], kind, 1) | f"StageUncounted/{kind}" >> StageUncounted(run, kind)


def _count(
    posts: beam.PCollection[CountedPosts], suffix: str, shards: int
) -> beam.PCollection[tuple[int, CountedWindow]]:
    label = f"/{suffix}" if suffix else ""
    return (
        posts
        | f"CountMentions{label}" >> CountMentions(shards)
        | f"WindowMentions{label}" >> WindowMentions(early_firing_seconds=0, allowed_lateness_seconds=0)
        | f"MergePanes{label}" >> MergePanes()
    )


def parse_day(runner: BatchRunner, connection: Any, day: date, config: ParseConfig) -> None:
    """Parse one day and publish it.

    Raises:
        UserError: an object of the archive is broken, or another process parses the day.
    """
    began = time.monotonic()
    run = day_tables.begin(connection, day)
    try:
        survey = _survey(runner, run, day, config)
        broken = [found for found in survey if found.broken]
        if broken and not config.skip_broken:
            listed = "\n  ".join(found.broken for found in broken)
            msg = (
                f"{len(broken)} objects of the archive cannot be read; the day {day} stays as it was. Restore them, or go "
                f"on without them with --skip_broken:\n  {listed}"
            )
            raise UserError(msg)
        tags: Counter[str] = Counter()
        for found in survey:
            tags.update(found.hashtags)
        common = readable.common(tags, sum(found.sampled for found in survey))
        boilerplate = readable.boilerplate(common, day_tables.common_before(connection, day))
        codes = np.concatenate([found.coded() for found in survey] or [np.empty(0, np.uint8)])
        codes = codes[(codes & HOUR_MASK) < HOURS]
        duplicates = int(np.count_nonzero(codes & DUPLICATE))
        goal = len(codes) - duplicates - int(np.count_nonzero(codes & DEAD))
        with _progress(day, goal):
            for first, end in slices(survey, config.slice_posts):
                parts = parts_of(survey, first, end)
                if parts:
                    runner.run(partial(build, parts=parts, run=run, dropped=boilerplate, config=config))
        summary = DaySummary(
            objects=sum(bool(((found.coded() & HOUR_MASK) < HOURS).any()) for found in survey),
            broken=[found.url for found in broken],
            hashtags=common,
            boilerplate=boilerplate,
            duplicates=duplicates,
            seconds=time.monotonic() - began,
        )
        day_tables.publish(connection, run, summary)
    finally:
        day_tables.end(connection, day)
    seconds = time.monotonic() - began
    print(
        f"{day}: {goal:,} posts, {duplicates:,} duplicates left out, {int(np.count_nonzero(codes & DEAD)):,} dead letters, "
        f"{summary.objects:,} objects, in {seconds:.0f} s ({goal / seconds:,.0f} posts/s)",
        flush=True,
    )


def _survey(runner: BatchRunner, run: ParseRun, day: date, config: ParseConfig) -> list[SurveyedObject]:
    urls = objects_of(config.lake, day, config.late_hours)
    print(f"{day}: {len(urls):,} objects to read …", file=sys.stderr, flush=True)
    if not urls:
        return []
    output = f"{config.lake}/surveys/{run.date}-{run.token}.msgpack"
    day_start = int(start_of(day).timestamp())
    runner.run(
        lambda pipeline: pipeline | "Objects" >> beam.Create(urls) | "SurveyArchive" >> SurveyArchive(day_start, output)
    )
    try:
        return read_survey(output)
    finally:
        lake.remove(output)


@contextmanager
def _progress(day: date, goal: int) -> Iterator[None]:
    """Tell every few seconds how many posts are staged, from a thread with a connection of its own."""
    done = threading.Event()

    def watch() -> None:
        connection = connect("parse-progress")
        told = -1
        while not done.wait(PROGRESS_SECONDS):
            staged = day_tables.staged_posts(connection, day)
            if staged != told:
                print(f"{day}: {staged:,} of {goal:,} posts", file=sys.stderr, flush=True)
                told = staged
        connection.close()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def run(argv: Sequence[str]) -> int:
    """Parse options, check, parse the days in order."""
    if wants_help(argv):
        print_help(
            "beam_pipelines.parse",
            __doc__,
            BATCH_RUNNERS,
            ", such as --direct_num_workers, --parallelism, --job_name",
            DayOptions,
            ParseOptions,
            CountingOptions,
        )
        return 0
    check_known(argv)
    runner = BatchRunner(argv, "tiktok-parse")
    options = PipelineOptions(runner.arguments)
    config = ParseConfig.of(options, bounded_memory=not runner.on_flink, today=today())
    check_lake(config.lake)
    connection = connect("parse")
    with runner:
        for i, day in enumerate(config.days, 1):
            if config.backfill:
                print(f"day {i} of {len(config.days)}: {day}", file=sys.stderr, flush=True)
                if not config.force and day_tables.parsed(connection, day):
                    print(f"{day}: parsed already; --force parses it again", file=sys.stderr, flush=True)
                    continue
            parse_day(runner, connection, day, config)
    connection.close()
    return 0


if __name__ == "__main__":
    # Workers import this module by its name; what is defined in __main__ they could not find.
    from beam_pipelines import parse  # noqa: PLW0406

    start(parse.run)
