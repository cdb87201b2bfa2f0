"""The posts that are measured with: real in size and shape, with texts that every contender splits alike.

A post is one of the simulated feed's, about 3.2 KB, with another id, text and time. Its text is a dozen distinct words,
drawn from a Zipf vocabulary, of letters and digits alone: splitting it at spaces is the same as tokenising it. So contenders
without our tokeniser must find the same counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
from confluent_kafka import Producer

from benchmarks.throughput.checksum import checksum, shown
from detection.counts import WINDOW_SECONDS
from feed.simulation import Config as DayConfig
from feed.simulation import Simulation

TEMPLATES = 20_000
"""Different posts; more than a Kafka batch or an archive's frame holds, so that neither compresses better than in life."""

WORDS_PER_POST = 12
_CHUNK = 20_000
_ID, _TEXT, _TIME = "@id@", "@text@", "@time@"


@dataclass(frozen=True)
class Workload:
    """What to measure with.

    Attributes:
        posts: number of posts.
        vocabulary: number of different words.
        windows: number of 15-minute windows that the posts are spread over, evenly and in order.
        seed: of the words.
    """

    posts: int
    vocabulary: int = 100_000
    windows: int = 8
    seed: int = 1

    @property
    def start(self) -> int:
        """Event time of the first post: the start of yesterday, UTC."""
        day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
        return int(day.timestamp())


def word(number: int) -> str:
    """Return a word of the vocabulary."""
    return f"w{number:x}q"


def _templates() -> list[tuple[bytes, bytes, bytes, bytes]]:
    """The feed's posts, cut where id, text and time stand."""
    day = datetime.now(UTC).date() - timedelta(days=2)
    simulated = Simulation(DayConfig(date=day, posts=TEMPLATES, seed=1, share_unreadable=0)).lines()
    templates = []
    for line in simulated:
        post = json.loads(line)
        post["itemInfos"]["id"], post["itemInfos"]["text"], post["time_stamp"] = _ID, _TEXT, _TIME
        text = json.dumps(post, separators=(",", ":"), ensure_ascii=False)
        before, rest = text.split(_ID)
        between, rest = rest.split(_TEXT)
        after, end = rest.split(f'"{_TIME}"')
        templates.append((before.encode(), between.encode(), after.encode(), end.encode()))
    return templates


def _draw(workload: Workload) -> Iterator[npt.NDArray[np.int64]]:
    """Draw the words of the posts, in chunks of [posts, words]; a post's repeated words are to be counted once."""
    rng = np.random.default_rng(workload.seed)
    weights = 1 / np.arange(1, workload.vocabulary + 1)
    edges = np.cumsum(weights / weights.sum())
    for first in range(0, workload.posts, _CHUNK):
        count = min(_CHUNK, workload.posts - first)
        yield np.minimum(np.searchsorted(edges, rng.random((count, WORDS_PER_POST))), workload.vocabulary - 1)


def send(workload: Workload, servers: str, topic: str, partitions: int) -> str:
    """Send the posts to a topic, as the feed does, and return the checksum of the counts that they must give."""
    # Like the feed: zstd, large batches, the record's timestamp is the post's.
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "compression.type": "zstd",
            "linger.ms": 50,
            "batch.size": 512 * 1024,
            "queue.buffering.max.kbytes": 131_072,
        }
    )
    templates, vocabulary = _templates(), [word(i) for i in range(workload.vocabulary)]
    window_seconds = workload.windows * WINDOW_SECONDS
    mentions = np.zeros((workload.windows, workload.vocabulary), np.int64)
    number = 0
    for chunk in _draw(workload):
        for numbers in chunk.tolist():
            distinct = set(numbers)
            at_ms = workload.start * 1000 + number * window_seconds * 1000 // workload.posts
            mentions[(at_ms // 1000 - workload.start) // WINDOW_SECONDS, list(distinct)] += 1
            before, between, after, end = templates[number % TEMPLATES]
            value = b"%b%d%b%b%b%d.%03d%b" % (
                before,
                7_000_000_000_000_000_000 + number,
                between,
                " ".join([vocabulary[i] for i in distinct]).encode(),
                after,
                at_ms // 1000,
                at_ms % 1000,
                end,
            )
            while True:
                try:
                    producer.produce(topic, value, partition=number % partitions, timestamp=at_ms)
                    break
                except BufferError:
                    producer.poll(0.05)
            number += 1
        producer.poll(0)
    if left := producer.flush(120):
        msg = f"{left} posts were not delivered"
        raise RuntimeError(msg)
    total = 0
    for window, row in enumerate(mentions):
        found = np.flatnonzero(row)
        pairs = zip((vocabulary[i] for i in found), row[found], strict=True)
        total += checksum(workload.start + window * WINDOW_SECONDS, pairs)
    return shown(workload.posts, total)
