"""Measure how many posts a second go through.

    python -m benchmarks.throughput --posts 1500000 --variant count --source librdkafka --json build/count.json
    python -m benchmarks.throughput --posts 1500000 --suite --json build/throughput.json     # what `make bench` runs

Variants: ``raw``, the least work that counting needs, without Beam and Flink; ``count``, the stream's counting alone; ``full``,
the whole stream. A run has a Kafka, Flink, Postgres and S3 of its own on free ports. Its topic is filled first, so what is
measured is the rate at which posts are processed. The counts of every run must equal those of the posts that were sent.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beam_pipelines.stream_options import SOURCES
from benchmarks.throughput import report
from benchmarks.throughput.job import VARIANTS
from benchmarks.throughput.posts import Workload, send
from benchmarks.throughput.taps import Read, counted_so_far, read_so_far
from benchmarks.throughput.usage import Usage
from local import reset, stack
from local import settings as configuration
from local.settings import ROOT, Settings, StackError

PATIENCE_SECONDS = 900
PARTITIONS = 2


class WrongCountsError(Exception):
    """What was measured did not do its work: the rate means nothing."""


@dataclass(frozen=True)
class Contender:
    """What is measured.

    Attributes:
        variant: ``raw``, ``count`` or ``full``.
        source: how the stream reads; empty for ``raw``.
        processes: of ``raw``.
    """

    variant: str
    source: str = ""
    processes: int = 1

    @property
    def name(self) -> str:
        """What it is called in a report."""
        return f"raw, {self.processes} processes" if self.variant == "raw" else f"{self.variant}, {self.source}"


SUITE = (
    Contender("raw"),
    Contender("raw", processes=2),
    *(Contender(variant, source) for variant in VARIANTS for source in SOURCES),
)


@contextmanager
def _stack(workload: Workload) -> Iterator[tuple[Settings, str]]:
    """A stack of its own whose topic holds the posts; with the checksum of their counts."""
    folder = Path(tempfile.mkdtemp(prefix="bench-stack-", dir=ROOT / "build"))
    os.environ.update(stack.free_port_environment(folder))
    settings = configuration.load()
    os.environ.update(settings.environment)
    try:
        _say("starting the stack")
        stack.up(settings)
        _say(f"sending {workload.posts:,} posts")
        yield settings, send(workload, str(settings.kafka), settings.topic_posts, PARTITIONS)
    finally:
        stack.down(settings)
        shutil.rmtree(folder, ignore_errors=True)


def measure(contender: Contender, settings: Settings, counts: str, options: Sequence[str]) -> dict[str, Any]:
    """Run one contender to its end.

    Args:
        contender: what is measured.
        settings: a stack whose topic holds the posts.
        counts: checksum of the right counts.
        options: further options of the stream.

    Raises:
        WrongCountsError: it counted something else.
    """
    posts = int(counts.partition("-")[0])
    supervisor = int((settings.run_dir / "supervisord.pid").read_text(encoding="utf-8"))
    began = time.time()
    with Usage(supervisor) as usage:
        if contender.variant == "raw":
            reads, found = _run_raw(contender, settings, usage)
        else:
            reads, found = _run_stream(contender, settings, posts, options)
    if found != counts:
        msg = f"{contender.name}: counted {found}, sent {counts}"
        raise WrongCountsError(msg)
    first, last = min(read.began for read in reads), reads[-1].ended
    cpu = usage.cpu_seconds
    return {
        "name": contender.name,
        "posts": posts,
        "posts_per_s": round(posts / (last - first)),
        "steady_posts_per_s": round(steady_rate(reads)),
        "cpu_seconds": round(sum(cpu.values()), 1),
        "cpu_seconds_of": {role: round(seconds, 1) for role, seconds in sorted(cpu.items()) if seconds >= 0.1},
        "peak_rss_mb": usage.peak_bytes >> 20,
        "peak_rss_mb_of_one": {role: size >> 20 for role, size in sorted(usage.peak_of.items())},
        "seconds_to_first_post": round(first - began, 1),
        "counts_checksum": found,
        "slices": report.slices(reads),
    }


def steady_rate(reads: Sequence[Read]) -> float:
    """Return posts a second while the middle of the posts was read, from 30 % to 90 % of them: all workers are busy."""
    total = sum(read.posts for read in reads)
    before, start, inside = 0, reads[0].ended, 0
    for read in reads:
        if before < 0.3 * total:
            start = read.ended
        elif before < 0.9 * total:
            inside += read.posts
            end = read.ended
        before += read.posts
    return inside / (end - start) if inside else total / (reads[-1].ended - min(read.began for read in reads))


def _run_raw(contender: Contender, settings: Settings, usage: Usage) -> tuple[list[Read], str]:
    command = [sys.executable, "-m", "benchmarks.throughput.raw", "--servers", str(settings.kafka), "--topic"]
    command += [settings.topic_posts, "--partitions", str(PARTITIONS), "--processes", str(contender.processes)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        usage.add(process.pid)
        output, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    told = json.loads(output)
    return [Read(*read) for read in told["reads"]], told["counts"]


def _run_stream(contender: Contender, settings: Settings, posts: int, options: Sequence[str]) -> tuple[list[Read], str]:
    taps = Path(tempfile.mkdtemp(prefix="taps-", dir=settings.stack_dir))
    command = [sys.executable, "-m", "benchmarks.throughput.job", f"--variant={contender.variant}", f"--taps={taps}"]
    command += ["--runner=FlinkRunner", "--detach", f"--source={contender.source}", *options]
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while (counted := counted_so_far(taps))[0] < posts:
            if time.monotonic() > deadline:
                msg = f"{contender.name}: {counted[0]} of {posts} posts counted after {PATIENCE_SECONDS} s"
                raise WrongCountsError(msg)
            time.sleep(0.5)
        return read_so_far(taps), counted_so_far(taps)[1]
    finally:
        reset.cancel_jobs(settings)


def _say(line: str) -> None:
    print(f"▸ {line}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one contender, or all of them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--posts", type=int, default=1_500_000, help="default: %(default)s")
    parser.add_argument("--vocabulary", type=int, default=100_000, help="different words; default: %(default)s")
    parser.add_argument("--variant", choices=("raw", *VARIANTS), help="what to measure")
    parser.add_argument("--source", choices=SOURCES, default=SOURCES[0], help="of count and full; default: %(default)s")
    parser.add_argument("--processes", type=int, default=1, help="of raw; default: %(default)s")
    parser.add_argument("--suite", action="store_true", help="measure every variant, in one run that can be compared")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    own, options = parser.parse_known_args(arguments)
    if own.suite == bool(own.variant):
        parser.error("name a --variant, or --suite for all")
    source = "" if own.variant == "raw" else own.source
    contenders = SUITE if own.suite else (Contender(own.variant, source, own.processes),)
    results = []
    try:
        with _stack(Workload(own.posts, own.vocabulary)) as (settings, counts):
            for contender in contenders:
                _say(f"measuring {contender.name}")
                results.append(measure(contender, settings, counts, options))
                _say(report.line(results[-1]))
    except (StackError, WrongCountsError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if own.json:
        own.json.parent.mkdir(parents=True, exist_ok=True)
        own.json.write_text(json.dumps(results if own.suite else results[0], indent=2) + "\n", encoding="utf-8")
    if own.suite:
        print(report.table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
