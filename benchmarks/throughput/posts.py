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


class PostWriter:
    """Makes posts of numbered words.

    Args:
        vocabulary: number of different words.
    """

    def __init__(self, vocabulary: int) -> None:
        self._templates = _templates()
        self.words = [word(i) for i in range(vocabulary)]

    def post(self, number: int, text: str, at_ms: int) -> bytes:
        """Return the post of that number, with a text, at a time in milliseconds since the epoch."""
        before, between, after, end = self._templates[number % TEMPLATES]
        return b"%b%d%b%b%b%d.%03d%b" % (
            before,
            7_000_000_000_000_000_000 + number,
            between,
            text.encode(),
            after,
            at_ms // 1000,
            at_ms % 1000,
            end,
        )


class Sender:
    """Sends posts to a topic, as the feed does: zstd, large batches, the record's timestamp is the post's.

    Args:
        servers: brokers, HOST:PORT[,…].
        topic: name of the topic.
        partitions: number of its partitions; posts go to them in turn.
    """

    def __init__(self, servers: str, topic: str, partitions: int) -> None:
        self._topic, self._partitions = topic, partitions
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "compression.type": "zstd",
                "linger.ms": 50,
                "batch.size": 512 * 1024,
                "queue.buffering.max.kbytes": 131_072,
            }
        )

    def send(self, number: int, value: bytes, at_ms: int) -> None:
        """Hand a post over; waits while too many are on their way."""
        while True:
            try:
                self._producer.produce(self._topic, value, partition=number % self._partitions, timestamp=at_ms)
            except BufferError:
                self._producer.poll(0.05)
            else:
                return

    def poll(self) -> None:
        """Let the client take note of what was delivered."""
        self._producer.poll(0)

    def finish(self) -> None:
        """Wait until all posts are delivered.

        Raises:
            RuntimeError: some could not be.
        """
        if left := self._producer.flush(120):
            msg = f"{left} posts were not delivered"
            raise RuntimeError(msg)


def probabilities(vocabulary: int) -> npt.NDArray[np.float64]:
    """Return the probability of each word of the vocabulary, by Zipf's law."""
    weights = 1 / np.arange(1, vocabulary + 1)
    return np.asarray(weights / weights.sum())


def draw(rng: np.random.Generator, vocabulary: int, posts: int) -> Iterator[npt.NDArray[np.int64]]:
    """Draw the words of posts, in chunks of [posts, words]; a post's repeated words are to be counted once."""
    edges = np.cumsum(probabilities(vocabulary))
    for first in range(0, posts, _CHUNK):
        count = min(_CHUNK, posts - first)
        yield np.minimum(np.searchsorted(edges, rng.random((count, WORDS_PER_POST))), vocabulary - 1)


def send(workload: Workload, servers: str, topic: str, partitions: int) -> str:
    """Send the posts to a topic, and return the checksum of the counts that they must give."""
    sender, writer = Sender(servers, topic, partitions), PostWriter(workload.vocabulary)
    window_seconds = workload.windows * WINDOW_SECONDS
    mentions = np.zeros((workload.windows, workload.vocabulary), np.int64)
    number = 0
    for chunk in draw(np.random.default_rng(workload.seed), workload.vocabulary, workload.posts):
        for numbers in chunk.tolist():
            distinct = set(numbers)
            at_ms = workload.start * 1000 + number * window_seconds * 1000 // workload.posts
            mentions[(at_ms // 1000 - workload.start) // WINDOW_SECONDS, list(distinct)] += 1
            text = " ".join([writer.words[i] for i in distinct])
            sender.send(number, writer.post(number, text, at_ms), at_ms)
            number += 1
        sender.poll()
    sender.finish()
    total = 0
    for window, row in enumerate(mentions):
        found = np.flatnonzero(row)
        pairs = zip((writer.words[i] for i in found), row[found], strict=True)
        total += checksum(workload.start + window * WINDOW_SECONDS, pairs)
    return shown(workload.posts, total)
