"""Runs that are measured: a stack of their own, a filled topic, one contender after the other."""

from __future__ import annotations

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

from beam_pipelines.flink import Cluster
from beam_pipelines.stream_options import SOURCES
from benchmarks.throughput import report
from benchmarks.throughput.checkpoints import Checkpoints, checkpoints_of, running_job
from benchmarks.throughput.job import VARIANTS
from benchmarks.throughput.peers import engine
from benchmarks.throughput.peers.engine import PEERS
from benchmarks.throughput.posts import Workload, send
from benchmarks.throughput.taps import Read, checksum_counted, posts_counted, read_so_far
from benchmarks.throughput.usage import Usage
from local import evidence, reset, signals, stack
from local import settings as configuration
from local.settings import ROOT, Settings

PATIENCE_SECONDS = 900
PARTITIONS = 2

_LINES = 20
"""Of what a stream that did not start has said, so many are shown."""


class BenchmarkError(Exception):
    """A run that gave no figures."""


class WrongCountsError(BenchmarkError):
    """What was measured did not do its work: the rate means nothing."""


class NotSubmittedError(BenchmarkError):
    """The stream did not start; the message has what it said."""


@dataclass(frozen=True)
class Contender:
    """What is measured.

    Attributes:
        variant: ``raw``, ``count``, ``full`` or a peer.
        source: how the stream reads; empty for ``raw`` and peers.
        processes: of ``raw``.
    """

    variant: str
    source: str = ""
    processes: int = 1

    @property
    def name(self) -> str:
        """What it is called in a report."""
        if self.variant in PEERS:
            return self.variant
        return f"raw, {self.processes} processes" if self.variant == "raw" else f"{self.variant}, {self.source}"


SUITE = (
    Contender("raw"),
    Contender("raw", processes=2),
    *(Contender(variant, source) for variant in VARIANTS for source in SOURCES),
)
PEER_SUITE = (
    Contender("raw", processes=2),
    *(Contender("count", source) for source in SOURCES),
    *(Contender(peer) for peer in PEERS),
)


@contextmanager
def own_stack() -> Iterator[Settings]:
    """A stack of its own on free ports, empty; its addresses and secrets are in ``os.environ``.

    It is deleted afterwards; but its logs are kept if something goes wrong.
    """
    signals.exit_once()  # the stack is stopped then, too
    (ROOT / "build").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-stack-", dir=ROOT / "build"))
    folder.chmod(0o755)  # else Postgres, which does not run as root, could not reach its data in there
    os.environ.update(stack.free_port_environment(folder))
    settings = configuration.load()
    os.environ.update(settings.environment)
    try:
        say("starting the stack")
        stack.up(settings)
        yield settings
    except Exception:
        say(f"the logs are kept in {evidence.keep_logs(settings, 'bench-failed')}")
        raise
    finally:
        with signals.undisturbed():
            stack.down(settings)
            stack.discard(settings)
            shutil.rmtree(folder, ignore_errors=True)  # what the runs have put beside the stack


@contextmanager
def filled_stack(workload: Workload) -> Iterator[tuple[Settings, str]]:
    """A stack of its own whose topic holds the posts; with the checksum of their counts."""
    with own_stack() as settings:
        say(f"sending {workload.posts:,} posts")
        yield settings, send(workload, str(settings.kafka), settings.topic_posts, PARTITIONS)


def usage_of(settings: Settings) -> Usage:
    """Watch all processes of a stack."""
    return Usage(int((settings.run_dir / "supervisord.pid").read_text(encoding="utf-8")))


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
    began = time.time()
    with usage_of(settings) as usage:
        if contender.variant == "raw":
            (reads, found), checkpoints = _run_raw(contender, settings, usage), None
        elif contender.variant in PEERS:
            folder = Path(tempfile.mkdtemp(prefix="peer-", dir=settings.stack_dir))
            (reads, found), checkpoints = engine.run(contender.variant, settings, folder, usage.add), None
        else:
            reads, found, checkpoints = run_stream(contender, settings, posts, options)
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
        "checkpoints": checkpoints.to_json() if checkpoints else None,
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


def run_stream(
    contender: Contender,
    settings: Settings,
    posts: int,
    options: Sequence[str],
    patience_seconds: float = PATIENCE_SECONDS,
) -> tuple[list[Read], str, Checkpoints]:
    """Run the stream until all posts are counted.

    Returns:
        What was read when, the checksum of the counts, and what the checkpoints were like.

    Raises:
        NotSubmittedError: it did not start.
        WrongCountsError: not all posts were counted in time.
    """
    with started_stream(contender, settings, options) as taps:
        found = until_counted(contender, taps, posts, patience_seconds)
        cluster = Cluster(str(settings.flink))
        return read_so_far(taps), found, checkpoints_of(cluster, running_job(cluster))


@contextmanager
def started_stream(contender: Contender, settings: Settings, options: Sequence[str]) -> Iterator[Path]:
    """The stream, from its submission to its end; with the folder of its taps.

    Raises:
        NotSubmittedError: it did not start.
    """
    taps = Path(tempfile.mkdtemp(prefix="taps-", dir=settings.stack_dir))
    command = [sys.executable, "-m", "benchmarks.throughput.job", f"--variant={contender.variant}", f"--taps={taps}"]
    command += ["--runner=FlinkRunner", "--detach", f"--source={contender.source}", *options]
    submit(command)
    try:
        yield taps
    except Exception:
        evidence.note_jobs(settings)
        raise
    finally:
        reset.cancel_jobs(settings)


def submit(command: Sequence[str]) -> None:
    """Run the program that submits the stream and ends.

    Raises:
        NotSubmittedError: it failed.
    """
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode:
        ending = "\n".join(done.stderr.splitlines()[-_LINES:])
        msg = f"the stream could not be started; its program ended with code {done.returncode}:\n{ending}"
        raise NotSubmittedError(msg)


def until_counted(contender: Contender, taps: Path, posts: int, patience_seconds: float = PATIENCE_SECONDS) -> str:
    """Wait until so many posts are in closed windows, and return the checksum of their counts.

    Raises:
        WrongCountsError: they were not in time.
    """
    deadline = time.monotonic() + patience_seconds
    while (counted := posts_counted(taps)) < posts:
        if time.monotonic() > deadline:
            msg = f"{contender.name}: {counted} of {posts} posts counted after {patience_seconds:.0f} s"
            raise WrongCountsError(msg)
        time.sleep(0.5)
    return checksum_counted(taps)


def say(line: str) -> None:
    """Show a person what goes on."""
    print(f"▸ {line}", file=sys.stderr, flush=True)
