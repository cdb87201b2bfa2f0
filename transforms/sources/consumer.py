"""A reader of some partitions of a topic, on librdkafka: batches of raw posts, and what is known of their time.

No Beam here, and no consumer group: partitions are assigned by the caller, who also keeps the offsets. A broker that is
away is no error: librdkafka connects again by itself, nothing comes meanwhile, and the watermark stands still.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from transforms.records import MAX_BATCH, RawBatch, believable
from transforms.sources.event_time import EventTime
from transforms.sources.positions import Claim
from transforms.sources.security import librdkafka_settings

POLL_SECONDS = 0.1
"""How long to wait for a full batch; what has come by then is passed on."""

DISCOVER_SECONDS = 30.0
"""Time between looks for new partitions."""

COMMIT_SECONDS = 5.0
"""Least time between two commits of offsets to the consumer group."""

ASK_SECONDS = 2.0
"""How long to wait for an answer to a question about the topic."""

_REPEAT_SECONDS = 30.0
_LOG = logging.getLogger(__name__)


class Seldom(logging.Filter):
    """Lets each kind of line pass once in half a minute; as a filter it knows the kind by the first word.

    While a broker is away librdkafka tells of every attempt to connect, twenty times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is to be logged."""
        return self.passes(record.getMessage().partition(" ")[0])

    def passes(self, kind: str) -> bool:
        """Tell whether it is time for that kind again, and take it as told."""
        now = time.monotonic()
        if now < self._next.get(kind, 0.0):
            return False
        self._next[kind] = now + _REPEAT_SECONDS
        return True


_LOG_OF_CLIENT = _LOG.getChild("librdkafka")
_LOG_OF_CLIENT.addFilter(Seldom())

# What waiting cannot heal: the job must fail, and say why.
_HOPELESS = frozenset(
    (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
        KafkaError._AUTO_OFFSET_RESET,
    )
)


@dataclass(frozen=True)
class TopicSettings:
    """What to read, and how.

    Attributes:
        bootstrap_servers: brokers, HOST:PORT[,…].
        topic: the topic.
        group: consumer group that offsets are committed to, for monitoring alone.
        start_from: where a new job begins in the partitions that it finds, ``earliest`` or ``latest``.
        out_of_orderness_seconds: how much older than the newest of its partition a record may be and still be on time.
        idle_seconds: silence after which an empty partition holds the watermark back no longer.
    """

    bootstrap_servers: str
    topic: str
    group: str
    start_from: str = "earliest"
    out_of_orderness_seconds: float = 0.0
    idle_seconds: float = 10.0


class TopicReader:
    """Reads the partitions of a topic that are its own.

    Args:
        settings: what to read.
        owns: tells which partitions are its own.
    """

    def __init__(self, settings: TopicSettings, owns: Callable[[int], bool]) -> None:
        self._settings = settings
        self._owns = owns
        self._offsets: dict[int, int] = {}
        # Where partitions were read to their end: the marks of a producer's transactions have offsets, and are no records.
        self._read_to: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._next_commit = self._next_look = self._next_question = 0.0
        self._complaints = Seldom()
        self._refusal: KafkaError | None = None
        self._time = EventTime(int(settings.out_of_orderness_seconds * 1000), settings.idle_seconds)
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "group.id": settings.group,
                "client.id": "tiktok-stream",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                # Retention may have overtaken a job that stood still; what is left is read.
                "auto.offset.reset": "earliest",
                # By default a full queue makes the fetcher pause for a second.
                "fetch.queue.backoff.ms": 5,
                "queued.max.messages.kbytes": 65_536,
                "reconnect.backoff.max.ms": 2_000,
                "error_cb": self._hear,
                **librdkafka_settings(os.environ),
            },
            logger=_LOG_OF_CLIENT,
        )

    def resume(self, offsets: Mapping[int, int]) -> None:
        """Go on at these offsets. Where the reader is there already, what it has fetched ahead stays."""
        if offsets != self._offsets:
            now = time.monotonic()
            self._offsets = dict(offsets)
            # Committed once more is read: a commit that finds no broker would keep `close` waiting for 40 s.
            self._committed = dict(offsets)
            self._read_to.clear()
            for partition in offsets:
                self._time.add(partition, now)
            self._consumer.assign([self._place(partition) for partition in offsets])
        self._commit()

    def find(self, known: Mapping[int, int], *, started: bool) -> list[Claim] | None:
        """Look for partitions that are not known yet; each comes with the offset to begin at.

        Args:
            known: next offset by partition.
            started: whether earlier looks found what was there at the start; what is new since then is read whole.

        Returns:
            The new partitions; ``None`` if it is not yet time to look again or the broker does not answer.

        Raises:
            KafkaException: the broker refuses the login.
        """
        now = time.monotonic()
        if now < self._next_look:
            return None
        try:
            topic = self._consumer.list_topics(self._settings.topic, timeout=ASK_SECONDS).topics[self._settings.topic]
            if topic.error is not None:
                raise KafkaException(topic.error)
            claims = [
                Claim(
                    partition, self._beginning(partition, latest=not started and self._settings.start_from == "latest")
                )
                for partition in sorted(topic.partitions)
                if self._owns(partition) and partition not in known
            ]
        except KafkaException as error:
            if not self._offsets:
                self._consumer.poll(0)  # nothing is read yet: nobody else lets the client tell of its errors
            self._raise_refusal()
            self._note(error.args[0])
            return None
        self._next_look = now + DISCOVER_SECONDS
        return claims

    def take_up(self, claims: Sequence[Claim]) -> None:
        """Read these new partitions too."""
        for partition, offset in claims:
            self._offsets[partition] = offset
            self._time.add(partition, time.monotonic())
        if claims:
            self._consumer.incremental_assign([self._place(partition) for partition, _ in claims])

    def read(self) -> list[RawBatch]:
        """Return what has come, in batches of consecutive records; nothing after a short wait in vain.

        Raises:
            KafkaException: the topic may not be read.
            ValueError: the broker delivers records again that are behind the reader.
        """
        batches: list[RawBatch] = []
        messages = self._consumer.consume(MAX_BATCH, POLL_SECONDS)
        self._raise_refusal()
        for partition, run in groupby(messages, Message.partition):
            records = list(run)
            # Most often there is none: told of all together, without a call in Python for each.
            if any(map(Message.error, records)):
                records = list(filter(self._is_record, records))
            if records:
                batches += _consecutive(self._settings.topic, partition, records)
        now = time.monotonic()
        for batch in batches:
            before = self._offsets[batch.partition]
            if batch.first_offset < before:
                msg = f"{batch.topic}-{batch.partition} goes back from {before} to {batch.first_offset}: a new topic?"
                raise ValueError(msg)
            self._offsets[batch.partition] = batch.next_offset
            self._time.heard(batch.partition, max(batch.timestamps_ms), now)
        return batches

    def watermark_ms(self) -> int | None:
        """Return the reader's watermark, milliseconds since the epoch; ``None`` while it is not known.

        Silent partitions are asked about, once a second at most, whether there is anything left to read.
        """
        now = time.monotonic()
        if now >= self._next_question and (silent := self._time.silent(now)):
            self._next_question = now + 1
            for partition in silent:
                at_ms = time.time_ns() // 1_000_000
                try:
                    end = self._ends(partition)[1]
                except KafkaException as error:
                    self._note(error.args[0])
                    break
                if end <= max(self._offsets[partition], self._read_to.get(partition, 0)):
                    self._time.empty(partition, at_ms)
        return self._time.watermark_ms(time.time_ns() // 1_000_000)

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close()

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._settings.topic, partition, self._offsets[partition])

    def _ends(self, partition: int) -> tuple[int, int]:
        place = TopicPartition(self._settings.topic, partition)
        low, high = self._consumer.get_watermark_offsets(place, timeout=ASK_SECONDS)
        return low, high

    def _beginning(self, partition: int, *, latest: bool) -> int:
        return self._ends(partition)[latest]

    def _commit(self) -> None:
        """Tell the group how far the work is done, for whoever watches its lag; it is never read here."""
        now = time.monotonic()
        if self._offsets and now >= self._next_commit and self._offsets != self._committed:
            self._next_commit = now + COMMIT_SECONDS
            self._committed = dict(self._offsets)
            try:
                self._consumer.commit(
                    offsets=[self._place(partition) for partition in self._offsets], asynchronous=True
                )
            except KafkaException as error:
                self._note(error.args[0])

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            self._read_to[message.partition()] = message.offset()
            return False
        if error.fatal() or error.code() in _HOPELESS:
            raise KafkaException(error)
        self._note(error)
        return False

    def _hear(self, error: KafkaError) -> None:
        """Take note of an error that the client tells of; it may not raise from here."""
        if error.fatal() or error.code() in _HOPELESS:
            self._refusal = error
        else:
            self._note(error)

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise KafkaException(self._refusal)

    def _note(self, error: KafkaError) -> None:
        """Log what the client is healing by itself, each kind every half minute."""
        if self._complaints.passes(error.name()):
            _LOG.warning("Kafka at %s: %s; going on to try", self._settings.bootstrap_servers, error.str())


def _consecutive(topic: str, partition: int, records: Sequence[Message]) -> Iterator[RawBatch]:
    """Make batches of records in the order of their offsets, which may have gaps."""
    offsets = list(map(Message.offset, records))
    start = 0
    if offsets[-1] - offsets[0] != len(offsets) - 1:
        for i in range(1, len(offsets)):
            if offsets[i] != offsets[i - 1] + 1:
                yield _batch(topic, partition, offsets[start], records[start:i])
                start = i
    yield _batch(topic, partition, offsets[start], records[start:])


def _batch(topic: str, partition: int, first_offset: int, records: Sequence[Message]) -> RawBatch:
    return RawBatch(
        topic,
        partition,
        first_offset,
        believable([timestamp_ms for _, timestamp_ms in map(Message.timestamp, records)]),
        [value or b"" for value in map(Message.value, records)],
    )
