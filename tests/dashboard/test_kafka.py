"""How far the stream is behind: what is said of it, and that nobody waits for a Kafka that is away."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from dashboard.config import Config, Kafka, Login
from dashboard.flink import Checkpoints, Job, Source, Step
from dashboard.kafka import SECONDS, ConsumerLag, LagMeter, PartitionLag, judge, measure

KAFKA = Kafka("127.0.0.1:9", "posts", "readers")
PARTITIONS = [PartitionLag(partition=0, end=100, committed=90), PartitionLag(partition=1, end=50, committed=50)]
NONE = [PartitionLag(partition=0, end=100, committed=None), PartitionLag(partition=1, end=50, committed=None)]


def job(source: Source, posts_behind: int | None = None) -> Job:
    step = Step(
        id="v1", name="ReadPosts", status="RUNNING", parallelism=1, posts_read=None,
        posts_behind=posts_behind, records_in_per_second=None, records_out_per_second=None, busy=None,
        back_pressure=None, watermark=None,
    )  # fmt: skip
    checkpoints = Checkpoints(
        completed=0, failed=0, last_completed_at=None, last_duration_seconds=None, last_size_bytes=None
    )
    return Job(
        id="abc", name="stream", state="RUNNING", started_at=datetime.now(UTC), source=source, steps=[step],
        checkpoints=checkpoints, restarts=None,
    )  # fmt: skip


def lag(behind: int = 0) -> ConsumerLag:
    return ConsumerLag(measured_at=datetime.now(UTC), basis="committed", posts_behind=behind, detail="", partitions=[])


@pytest.mark.parametrize(
    ("running", "partitions", "trouble", "expected", "says"),
    [
        (job("librdkafka"), PARTITIONS, None, ("committed", 10), "consumer group readers has committed"),
        (job("librdkafka"), [PARTITIONS[0], NONE[1]], None, ("committed", 60), "consumer group readers"),
        (None, PARTITIONS, None, ("committed", 10), "no job is seen to run"),
        (job("librdkafka"), NONE, None, ("unknown", None), "KAFKA_CONSUMER_GROUP"),
        (job("librdkafka"), [], "Kafka is away", ("unknown", None), "Kafka is away"),
        # What another job committed before is not this one's.
        (job("kafkaio", 30_000), PARTITIONS, None, ("estimated", 30_000), "told Flink"),
        (job("kafkaio", 30_000), [], "Kafka is away", ("estimated", 30_000), "told Flink"),
        (job("kafkaio"), PARTITIONS, None, ("unknown", None), "watermark delay"),
    ],
)
def test_it_says_what_the_figure_is(
    running: Job | None, partitions: Any, trouble: str | None, expected: tuple[str, int | None], says: str
) -> None:
    basis, behind, detail = judge(KAFKA, running, partitions, trouble)
    assert (basis, behind) == expected
    assert says in detail


def test_a_kafka_that_is_away_is_told_in_time() -> None:
    config = Config("127.0.0.1", 0, None, {}, Login("", ""), None, "127.0.0.1:9", KAFKA)
    began = time.monotonic()
    found = measure(config)
    assert (found.basis, found.posts_behind, found.partitions) == ("unknown", None, [])
    assert "Kafka at 127.0.0.1:9" in found.detail
    assert "make up" in found.detail
    assert SECONDS / 2 < time.monotonic() - began < 30


def test_the_last_measurement_is_not_waited_for() -> None:
    begin, done = threading.Event(), threading.Event()

    def slow() -> ConsumerLag:
        begin.wait(60)
        done.set()
        return lag(7)

    meter = LagMeter(slow)
    assert meter.last() is None
    assert meter.last() is None
    begin.set()
    assert done.wait(60)
    assert meter.measured().posts_behind == 7
    last = meter.last()
    assert last is not None
    assert last.posts_behind == 7


def test_however_many_ask_one_measures() -> None:
    count = 0

    def measuring() -> ConsumerLag:
        nonlocal count
        count += 1
        time.sleep(0.2)
        return lag(count)

    meter = LagMeter(measuring)
    threads = [threading.Thread(target=meter.measured) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.measured().posts_behind == count == 1


def test_an_old_measurement_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.kafka.FRESH_SECONDS", 0.0)
    counts = iter(range(100))
    meter = LagMeter(lambda: lag(next(counts)))
    assert [meter.measured().posts_behind for _ in range(3)] == [0, 1, 2]
