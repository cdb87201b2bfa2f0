"""How long after a post does its outlier stand in Postgres? Measured at a steady rate, with keywords that burst.

    python -m benchmarks.throughput.latency --posts_per_s 5000 --minutes 6 --bursts 120 --json build/latency.json

Posts of 3.2 KB come at a steady rate, stamped with the clock. Now and then some dozens in a row mention a keyword that
is otherwise never mentioned and has a baseline: one of them makes it an outlier. From the moment when the first of them
is handed to the Kafka client, which is before it has arrived, until a look at Postgres finds the row: so what is told is
never too short, and too long by the burst itself, the producer's linger and the time between two looks, some 0.3 s.

All posts must be counted in the end, and every burst in full, or it fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2

from beam_pipelines.flink import Cluster
from beam_pipelines.stream_options import SOURCES
from benchmarks.throughput import plots
from benchmarks.throughput.baselines import publish_baselines
from benchmarks.throughput.checkpoints import checkpoints_of, running_job
from benchmarks.throughput.posts import PostWriter, Sender, draw, word
from benchmarks.throughput.runs import PARTITIONS, BenchmarkError, WrongCountsError, own_stack, say, submit, usage_of
from detection.counts import WINDOW_SECONDS
from local import reset
from local.settings import Settings, StackError

BURST_POSTS = 60
LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 300
_TICK_SECONDS = 0.02


@dataclass(frozen=True)
class Load:
    """What is sent.

    Attributes:
        posts_per_s: the steady rate.
        seconds: how long.
        warm_up_seconds: time without bursts at the beginning.
        bursts: number of keywords that burst, at even distances after that.
        vocabulary: number of different words of the other posts.
    """

    posts_per_s: int
    seconds: float
    warm_up_seconds: float
    bursts: int
    vocabulary: int

    @property
    def posts(self) -> int:
        """Number of posts."""
        return int(self.posts_per_s * self.seconds)

    def keywords(self) -> list[str]:
        """Return the keywords that burst: the words behind the vocabulary."""
        return [word(self.vocabulary + i) for i in range(self.bursts)]

    def due(self, burst: int) -> float:
        """Return when a burst is due, seconds after the first post."""
        return self.warm_up_seconds + burst * (self.seconds - self.warm_up_seconds) / self.bursts


def fits(at: float, posts_per_s: int) -> bool:
    """Tell whether a burst that begins at this time, epoch seconds, lies in one window, with a second to spare."""
    return at % WINDOW_SECONDS < WINDOW_SECONDS - 1 - BURST_POSTS / posts_per_s


def send_steadily(load: Load, sender: Sender) -> dict[str, float]:
    """Send; return when each burst began, epoch seconds."""
    writer, keywords = PostWriter(load.vocabulary), load.keywords()
    texts = _texts(load, writer)
    began: dict[str, float] = {}
    left, number, start = 0, 0, time.time()
    while number < load.posts:
        now = time.time()
        for _ in range(min(load.posts, int((now - start) * load.posts_per_s)) - number):
            at = time.time()
            if (
                not left
                and len(began) < load.bursts
                and at - start >= load.due(len(began))
                and fits(at, load.posts_per_s)
            ):
                keyword, left = keywords[len(began)], BURST_POSTS
                began[keyword] = at
            text = next(texts)
            if left:
                text, left = f"{text} {keyword}", left - 1
            at_ms = int(at * 1000)
            sender.send(number, writer.post(number, text, at_ms), at_ms)
            number += 1
        sender.poll()
        time.sleep(_TICK_SECONDS)
    sender.finish()
    return began


def _texts(load: Load, writer: PostWriter) -> Iterator[str]:
    for chunk in draw(np.random.default_rng(1), load.vocabulary, load.posts):
        for numbers in chunk.tolist():
            yield " ".join([writer.words[i] for i in set(numbers)])


@dataclass
class Watch:
    """Looks into Postgres again and again for outliers of some keywords.

    Attributes:
        keywords: the keywords.
        seen: when each was found first, epoch seconds.
    """

    keywords: Sequence[str]
    seen: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        connection = psycopg2.connect("")
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not self._done.wait(LOOK_SECONDS):
                missing = [keyword for keyword in self.keywords if keyword not in self.seen]
                cursor.execute("SELECT DISTINCT keyword FROM outliers WHERE keyword = ANY(%s)", (missing,))
                now = time.time()
                self.seen.update((keyword, now) for (keyword,) in cursor)
        connection.close()


def _counted(keywords: Sequence[str]) -> tuple[int, dict[str, int]]:
    """Posts counted so far, and the mentions of outliers among some keywords."""
    connection = psycopg2.connect("")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(posts), 0) FROM window_totals")
        posts = int(cursor.fetchone()[0])
        cursor.execute("SELECT keyword, sum(mentions) FROM outliers WHERE keyword = ANY(%s) GROUP BY 1", (keywords,))
        mentions = {keyword: int(count) for keyword, count in cursor}
    connection.close()
    return posts, mentions


def measure(load: Load, settings: Settings, source: str, options: Sequence[str]) -> dict[str, Any]:
    """Start the stream, send, and wait until all is told.

    Raises:
        NotSubmittedError: the stream did not start.
        WrongCountsError: posts or bursts are missing.
    """
    publish_baselines(load.vocabulary + load.bursts, load.vocabulary, load.posts_per_s * WINDOW_SECONDS)
    command = [sys.executable, "-m", "beam_pipelines.stream", "--runner=FlinkRunner", "--detach", f"--source={source}"]
    submit([*command, *options])
    keywords, cluster = load.keywords(), Cluster(str(settings.flink))
    job = running_job(cluster)
    say(f"sending {load.posts_per_s:,} posts a second for {load.seconds / 60:g} minutes")
    with Watch(keywords) as watch, usage_of(settings) as usage:
        start = time.time()
        began = send_steadily(load, Sender(str(settings.kafka), settings.topic_posts, PARTITIONS))
        sent_seconds = time.time() - start
        checkpoints = checkpoints_of(cluster, job)
        right = (load.posts, dict.fromkeys(keywords, BURST_POSTS))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (counted := _counted(keywords)) != right or len(watch.seen) < load.bursts:
            if time.monotonic() > deadline:
                wrong = [keyword for keyword in keywords if counted[1].get(keyword) != BURST_POSTS]
                msg = f"{counted[0]:,} of {load.posts:,} posts counted; not told in full: {' '.join(wrong) or 'none'}"
                raise WrongCountsError(msg)
            time.sleep(1)
    seconds = np.array([watch.seen[keyword] - began[keyword] for keyword in keywords])
    return {
        "name": f"latency, {source}",
        "posts": load.posts,
        "posts_per_s": round(load.posts / sent_seconds),
        "bursts": load.bursts,
        "p50_seconds": round(float(np.percentile(seconds, 50)), 1),
        "p95_seconds": round(float(np.percentile(seconds, 95)), 1),
        "max_seconds": round(float(seconds.max()), 1),
        "checkpoints": checkpoints.to_json(),
        "cpu_seconds_of": {role: round(spent, 1) for role, spent in sorted(usage.cpu_seconds.items()) if spent >= 0.1},
        "peak_rss_mb_of_one": {role: size >> 20 for role, size in sorted(usage.peak_of.items())},
        "seconds": [round(float(value), 2) for value in seconds],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and tell the percentiles."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput.latency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--posts_per_s", type=int, default=5_000, help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=6, help="of sending; default: %(default)s")
    parser.add_argument(
        "--warm_up_seconds", type=float, default=30, help="before the first burst; default: %(default)s"
    )
    parser.add_argument("--bursts", type=int, default=120, help="keywords that burst; default: %(default)s")
    parser.add_argument("--vocabulary", type=int, default=100_000, help="different words; default: %(default)s")
    parser.add_argument("--source", choices=SOURCES, default="librdkafka", help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="write the figures to this file, and a plot beside it")
    own, options = parser.parse_known_args(arguments)
    load = Load(own.posts_per_s, own.minutes * 60, own.warm_up_seconds, own.bursts, own.vocabulary)
    if load.due(load.bursts - 1) + BURST_POSTS / load.posts_per_s + 2 > load.seconds:
        parser.error("the last burst would not end in time: more --minutes, or fewer --bursts")
    try:
        with own_stack() as settings:
            try:
                result = measure(load, settings, own.source, options)
            finally:
                reset.cancel_jobs(settings)
    except (StackError, BenchmarkError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if own.json:
        own.json.parent.mkdir(parents=True, exist_ok=True)
        own.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        plots.latency(result, own.json.with_suffix(".png"))
    checkpoints = result["checkpoints"]
    print(
        f"{result['name']}: {result['posts_per_s']:,} posts/s, {result['bursts']} bursts: p50 {result['p50_seconds']} s, "
        f"p95 {result['p95_seconds']} s, most {result['max_seconds']} s; {checkpoints['completed']} checkpoints of "
        f"{checkpoints['mean_seconds']:.1f} s (mean), {checkpoints['slowest_seconds']:.1f} s (slowest)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
