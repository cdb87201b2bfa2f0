"""``python -m benchmarks.batch``: time, CPU and memory of the daily parse, by the size of the day.

For each size a simulated day is archived in the running stack's lake, parsed by ``python -m beam_pipelines.parse`` as
anybody would, checked (posts, mentions and distinct ids against the simulated ones), and removed again. The memory is that of
all the parse's processes together, without Postgres; the time is that of the whole command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psutil
import psycopg2

from beam_pipelines.retention import drop_before
from feed.simulation import Config, Simulation
from local import settings as configuration
from local.settings import ROOT
from transforms import lake
from transforms.archive import Archiver
from transforms.posts import NEVER_AHEAD_MS, Rejected, decode_counted
from transforms.records import MAX_BATCH, RawBatch

DAY = date(2005, 2, 3)
"""Long before any post, so that no data of the user's are in the way."""

PARTITIONS = 2
SAMPLE_SECONDS = 0.25
FLUSH_POSTS = 20_000


class _TimeStamp(msgspec.Struct):
    time_stamp: float = 0.0


@dataclass(frozen=True)
class Archived:
    """What was put into the archive."""

    lines: int
    raw_bytes: int
    distinct_ids: int


@dataclass(frozen=True)
class Measured:
    """One run of the parse."""

    posts: int
    raw_gb: float
    seconds: float
    posts_per_s: float
    cpu_seconds: float
    peak_rss_mb: float
    runner: str


def archive_day(prefix: str, posts: int, seed: int) -> Archived:
    """Archive a simulated day, in objects as the stream writes them."""
    decode = msgspec.json.Decoder(_TimeStamp).decode
    archiver = Archiver(f"{prefix}/raw")
    ids: set[int] = set()
    lines = raw_bytes = at_ms = 0
    offsets = [0] * PARTITIONS
    waiting: list[tuple[list[int], list[bytes]]] = [([], []) for _ in range(PARTITIONS)]

    def send(partition: int) -> None:
        times, values = waiting[partition]
        archiver.add(RawBatch("posts", partition, offsets[partition], times, values))
        offsets[partition] += len(values)
        waiting[partition] = ([], [])

    for line in Simulation(Config(date=DAY, posts=posts, seed=seed)).lines():
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            at_ms = int(decode(line).time_stamp * 1000) or at_ms
        with suppress(Rejected):
            ids.add(decode_counted(line, NEVER_AHEAD_MS).post_id)
        times, values = waiting[lines % PARTITIONS]
        times.append(at_ms)
        values.append(line)
        lines, raw_bytes = lines + 1, raw_bytes + len(line)
        if len(values) == MAX_BATCH:
            send((lines - 1) % PARTITIONS)
        if lines % FLUSH_POSTS == 0:
            archiver.flush()
    for partition in range(PARTITIONS):
        if waiting[partition][1]:
            send(partition)
    archiver.flush()
    return Archived(lines, raw_bytes, len(ids))


def measure(command: Sequence[str]) -> tuple[float, float, float]:
    """Run a command.

    Returns:
        Seconds, CPU seconds of all its processes, and the peak of their memory together, MB.
    """
    began = time.monotonic()
    process = psutil.Popen(command, cwd=ROOT)
    peak = 0.0
    cpu: dict[int, float] = {}
    while process.poll() is None:
        total = 0.0
        with suppress(psutil.NoSuchProcess):
            for part in [process, *process.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    total += part.memory_full_info().pss / 1e6
                    times = part.cpu_times()
                    cpu[part.pid] = times.user + times.system
        peak = max(peak, total)
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return time.monotonic() - began, sum(cpu.values()), peak


def _check(archived: Archived) -> None:
    connection = psycopg2.connect("")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT posts FROM parsed_days WHERE date = %s", (DAY,))
        (parsed,) = cursor.fetchone()
        cursor.execute("SELECT count(*), count(DISTINCT post_id) FROM posts WHERE seen_at::date = %s", (DAY,))
        rows, distinct = cursor.fetchone()
    connection.close()
    if not parsed == rows == distinct == archived.distinct_ids:
        msg = f"wrong result: {archived.distinct_ids} distinct posts archived, {parsed} parsed, {rows} rows"
        raise SystemExit(msg)


def _forget() -> None:
    connection = psycopg2.connect("")
    drop_before(connection, DAY + timedelta(days=1))
    connection.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each size and write a table and a JSON file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--posts",
        type=int,
        nargs="+",
        default=[250_000, 500_000, 1_000_000],
        help="sizes of the day; default: %(default)s",
    )
    parser.add_argument("--runner", default="DirectRunner", help="DirectRunner or FlinkRunner; default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of the simulation; default: %(default)s")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench-batch.json", help="default: %(default)s")
    options, passed_on = parser.parse_known_args(arguments)
    os.environ.update(configuration.load().environment)
    prefix = f"{os.environ['LAKE'].rstrip('/')}/bench-batch"
    results: list[dict[str, Any]] = []
    print("| posts | raw GB | seconds | posts/s | CPU s | peak MB |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    for posts in options.posts:
        lake.remove(prefix)
        try:
            archived = archive_day(prefix, posts, options.seed)
            command = [sys.executable, "-m", "beam_pipelines.parse", "--date", str(DAY), "--lake", prefix]
            seconds, cpu, peak = measure([*command, f"--runner={options.runner}", *passed_on])
            _check(archived)
        finally:
            lake.remove(prefix)
            _forget()
        found = Measured(
            posts=archived.lines,
            raw_gb=round(archived.raw_bytes / 1e9, 2),
            seconds=round(seconds, 1),
            posts_per_s=round(archived.lines / seconds),
            cpu_seconds=round(cpu, 1),
            peak_rss_mb=round(peak),
            runner=options.runner,
        )
        results.append(asdict(found))
        print(
            f"| {found.posts:,} | {found.raw_gb} | {found.seconds} | {found.posts_per_s:,} | {found.cpu_seconds} "
            f"| {found.peak_rss_mb:,} |",
            flush=True,
        )
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
