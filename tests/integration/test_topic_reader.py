"""The reader on a real broker: where it starts and goes on, what it finds, what it says of time."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from local.settings import Settings
from transforms.records import RawBatch
from transforms.sources.consumer import TopicReader, TopicSettings
from transforms.sources.positions import Claim

pytestmark = pytest.mark.integration

T0 = 1_700_000_000_000


class Topic:
    """A topic of its own for a test."""

    def __init__(self, servers: str, partitions: int) -> None:
        self.servers, self.name = servers, f"t-{uuid.uuid4().hex[:8]}"
        self._admin = AdminClient({"bootstrap.servers": servers})
        new = NewTopic(self.name, partitions, 1, config={"retention.ms": "-1"})
        self._admin.create_topics([new])[self.name].result(30)
        self._producer = Producer({"bootstrap.servers": servers})

    def grow(self, partitions: int) -> None:
        self._admin.create_partitions([NewPartitions(self.name, partitions)])[self.name].result(30)

    def send(self, partition: int, *values: bytes, timestamp_ms: int = T0) -> None:
        for i, value in enumerate(values):
            self._producer.produce(self.name, value, partition=partition, timestamp=timestamp_ms + i)
        assert self._producer.flush(30) == 0

    def reader(self, **settings: object) -> TopicReader:
        return TopicReader(TopicSettings(self.servers, self.name, f"g-{self.name}", **settings), owns=lambda _: True)  # type: ignore[arg-type]


@pytest.fixture
def topic(stack: Settings) -> Topic:
    return Topic(str(stack.kafka), 2)


def start(reader: TopicReader) -> list[Claim]:
    reader.resume({})
    claims = until(lambda: reader.find({}, started=False))
    reader.take_up(claims)
    return claims


def until(ask: Callable[[], list | None], seconds: float = 30) -> list:
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, "no answer"
    return answer


def read(reader: TopicReader, records: int) -> list[RawBatch]:
    batches: list[RawBatch] = []

    def enough() -> list[RawBatch] | None:
        batches.extend(reader.read())
        return batches if sum(len(batch.values) for batch in batches) >= records else None

    return until(enough)


def values(batches: list[RawBatch], partition: int) -> Iterator[tuple[int, bytes]]:
    for batch in batches:
        if batch.partition == partition:
            yield from enumerate(batch.values, batch.first_offset)


def test_everything_is_read_once_with_its_offset_and_time(topic: Topic) -> None:
    topic.send(0, b"a", b"b", b"c")
    topic.send(1, b"d", b"")
    reader = topic.reader()
    assert start(reader) == [(0, 0), (1, 0)]
    batches = read(reader, 5)
    assert list(values(batches, 0)) == [(0, b"a"), (1, b"b"), (2, b"c")]
    assert list(values(batches, 1)) == [(0, b"d"), (1, b"")]
    assert [t for batch in batches for t in batch.timestamps_ms if batch.partition == 0] == [T0, T0 + 1, T0 + 2]
    assert reader.read() == []
    reader.close()


def test_a_new_job_may_start_at_the_end(topic: Topic) -> None:
    topic.send(0, b"old")
    reader = topic.reader(start_from="latest")
    assert start(reader) == [(0, 1), (1, 0)]
    topic.send(0, b"new")
    assert list(values(read(reader, 1), 0)) == [(1, b"new")]
    reader.close()


def test_a_reader_goes_on_where_another_has_stopped(topic: Topic) -> None:
    topic.send(0, *(b"%d" % i for i in range(10)))
    reader = topic.reader()
    reader.resume({0: 7, 1: 0})
    assert list(values(read(reader, 3), 0)) == [(7, b"7"), (8, b"8"), (9, b"9")]
    reader.resume({0: 4, 1: 0})  # a bundle failed: back again
    assert [offset for offset, _ in values(read(reader, 6), 0)] == [4, 5, 6, 7, 8, 9]
    reader.close()


def test_new_partitions_are_read_from_their_first_record(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.sources.consumer.DISCOVER_SECONDS", 0.2)
    reader = topic.reader(start_from="latest")
    start(reader)
    topic.grow(3)
    topic.send(2, b"early")
    claims = until(lambda: reader.find({0: 0, 1: 0}, started=True))
    assert claims == [(2, 0)]
    reader.take_up(claims)
    assert list(values(read(reader, 1), 2)) == [(0, b"early")]
    reader.close()


def test_offsets_are_committed_for_monitoring(topic: Topic) -> None:
    topic.send(0, b"a", b"b")
    reader = topic.reader()
    reader.resume({0: 0, 1: 0})
    read(reader, 2)
    reader.resume({0: 2, 1: 0})
    group = Consumer({"bootstrap.servers": topic.servers, "group.id": f"g-{topic.name}"})

    def committed() -> list[int] | None:
        reader.read()
        (place,) = group.committed([TopicPartition(topic.name, 0)], timeout=10)
        return [place.offset] if place.offset == 2 else None

    assert until(committed) == [2]
    group.close()
    reader.close()


def test_the_watermark_follows_the_slowest_partition_until_it_is_idle(topic: Topic) -> None:
    topic.send(0, b"a", timestamp_ms=T0)
    topic.send(1, b"b", timestamp_ms=T0 + 60_000)
    reader = topic.reader(idle_seconds=2.0, out_of_orderness_seconds=1.0)
    start(reader)
    read(reader, 2)
    assert reader.watermark_ms() == T0 - 1_000

    def idle() -> list[int] | None:
        watermark = reader.watermark_ms()
        return [watermark] if watermark and watermark > T0 + 60_000 else None

    assert abs(until(idle)[0] + 1_000 - time.time() * 1000) < 3_000
    reader.close()


def test_a_partition_that_ends_with_a_transaction_is_idle_too(topic: Topic) -> None:
    producer = Producer({"bootstrap.servers": topic.servers, "transactional.id": f"x-{topic.name}"})
    producer.init_transactions(30)
    for _ in range(2):
        producer.begin_transaction()
        producer.produce(topic.name, b"a", partition=0, timestamp=T0)
        producer.commit_transaction(30)
    reader = topic.reader(idle_seconds=1.0)
    start(reader)
    batches = read(reader, 2)
    assert [offset for offset, _ in values(batches, 0)] == [0, 2]

    def idle() -> list[int] | None:
        assert reader.read() == []
        watermark = reader.watermark_ms()
        return [watermark] if watermark and watermark > T0 else None

    assert abs(until(idle)[0] - time.time() * 1000) < 3_000
    reader.resume({0: 0, 1: 0})  # a bundle failed: what was read to its end is not any more
    assert [offset for offset, _ in values(read(reader, 2), 0)] == [0, 2]
    reader.close()


def test_without_a_broker_nothing_comes_and_time_stands_still() -> None:
    reader = TopicReader(TopicSettings("127.0.0.1:1", "t", "g", idle_seconds=0.0), owns=lambda _: True)
    reader.resume({0: 5})
    assert reader.find({0: 5}, started=True) is None
    assert reader.read() == []
    assert reader.watermark_ms() is None
    reader.close()


def test_a_topic_that_was_made_anew_is_an_error(topic: Topic) -> None:
    topic.send(0, b"a")
    reader = topic.reader()
    reader.resume({0: 9})
    with pytest.raises((KafkaException, ValueError), match="goes back from 9 to 0"):
        read(reader, 1)
    reader.close()
