"""How far the stream is behind the topic of posts: what Kafka knows of it, or else what Flink does.

With ``--source=librdkafka`` the stream commits to its consumer group how far the work is done, so what is left is the
topic's end less that. With ``--source=kafkaio`` nothing is committed (the offsets are in Flink's checkpoints alone); what
``ReadFromKafka`` reports to Flink is the best there is, of the moment when it last fetched posts or a checkpoint was taken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from confluent_kafka import OFFSET_END, OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from dashboard.config import Config, Kafka
from dashboard.flink import Job, look
from dashboard.problems import documented

router = APIRouter(tags=["health"])

SECONDS: Final = 2.0
"""How long Kafka may take for one answer; a measurement needs three."""

FRESH_SECONDS: Final = 5.0
"""How long a measurement counts as the present: the source commits as often."""

Basis = Literal["committed", "estimated", "unknown"]


class PartitionLag(BaseModel):
    """How far the consumer group is in one partition."""

    partition: int
    end: int = Field(description="Offset that the next record will get.")
    committed: int | None = Field(description="Offset up to which the work is done; null if none was committed.")


class ConsumerLag(BaseModel):
    """How far the stream is behind the topic of posts."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "measured_at": "2026-03-01T18:47:00Z",
                    "basis": "committed",
                    "posts_behind": 412,
                    "detail": "The end of topic posts less what consumer group tiktok-stream has committed, every 5 s.",
                    "partitions": [{"partition": 0, "end": 90_412, "committed": 90_000}],
                }
            ]
        }
    )

    measured_at: datetime
    basis: Basis = Field(
        description="`committed`: from the offsets of the consumer group; `estimated`: from Flink's metrics of the "
        "source, which commits none; `unknown`: there is neither."
    )
    posts_behind: int | None = Field(description="Posts in the topic that the stream has not worked through.")
    detail: str = Field(description="What the figure is, or why there is none and what to do.")
    partitions: list[PartitionLag] = Field(description="Of the topic, as far as Kafka answers.")


class LagMeter:
    """Measures at most every few seconds, for whoever asks; safe for threads.

    Args:
        measure: takes up to some seconds.
    """

    def __init__(self, measure: Callable[[], ConsumerLag]) -> None:
        self._measure = measure
        self._last: ConsumerLag | None = None
        self._until = 0.0
        self._one_at_a_time = threading.Lock()

    def measured(self) -> ConsumerLag:
        """Return a measurement of the last seconds; waits for one if need be."""
        with self._one_at_a_time:
            return self._fresh() or self._renew()

    def last(self) -> ConsumerLag | None:
        """Return the last measurement without waiting, and see that there is soon a newer one; None before the first."""
        if self._fresh() is None and not self._one_at_a_time.locked():
            threading.Thread(target=self.measured, name="lag", daemon=True).start()
        return self._last

    def _fresh(self) -> ConsumerLag | None:
        return self._last if time.monotonic() < self._until else None

    def _renew(self) -> ConsumerLag:
        self._last = self._measure()
        self._until = time.monotonic() + FRESH_SECONDS
        return self._last


def measure(config: Config) -> ConsumerLag:
    """Ask Kafka and Flink; never raises for want of either."""
    jobs = look(config.flink).jobs
    job = next((job for job in jobs if job.source is not None), None)
    try:
        partitions, trouble = _offsets(config.kafka), None
    except KafkaException as error:
        partitions, trouble = [], _advice(error, config.kafka)
    basis, behind, detail = judge(config.kafka, job, partitions, trouble)
    return ConsumerLag(
        measured_at=datetime.now(UTC), basis=basis, posts_behind=behind, detail=detail, partitions=partitions
    )


def judge(
    kafka: Kafka, job: Job | None, partitions: Sequence[PartitionLag], trouble: str | None
) -> tuple[Basis, int | None, str]:
    """Return the basis, the posts behind, and what to say about them."""
    if job is not None and job.source == "kafkaio":
        # What an earlier job may have committed to the group is not this one's.
        estimates = [step.posts_behind for step in job.steps if step.posts_behind is not None]
        if estimates:
            return (
                "estimated",
                sum(estimates),
                (
                    "ReadFromKafka commits no offsets: this is what it told Flink when it last fetched posts, or at the last checkpoint."
                ),
            )
        return (
            "unknown",
            None,
            (
                "ReadFromKafka commits no offsets and has not yet reported to Flink what is left; the watermark delay tells."
            ),
        )
    if trouble is not None:
        return "unknown", None, trouble
    committed = [partition for partition in partitions if partition.committed is not None]
    if not committed:
        return (
            "unknown",
            None,
            (
                f"Consumer group {kafka.group} has committed nothing in topic {kafka.topic}. Start the stream, or name "
                "its group in KAFKA_CONSUMER_GROUP."
            ),
        )
    # Of a partition without a commit nothing has been worked through yet.
    behind = sum(max(partition.end - (partition.committed or 0), 0) for partition in partitions)
    what = f"The end of topic {kafka.topic} less what consumer group {kafka.group} has committed"
    return "committed", behind, f"{what}, every 5 s." if job else f"{what}; no job is seen to run, so it may grow."


def _offsets(kafka: Kafka) -> list[PartitionLag]:
    """Return the ends of the topic's partitions and what the group has committed.

    Raises:
        KafkaException: Kafka did not answer in time, or refused.
    """
    # A consumer that joins no group. An admin client could ask all this too; but while the group's coordinator is not at
    # hand, as after the start of a broker, librdkafka 2.16 follows a null pointer there, and the process is gone.
    consumer = Consumer(
        {**kafka.security, "bootstrap.servers": kafka.bootstrap_servers, "group.id": kafka.group, "log_level": 0}
    )
    try:
        topic = consumer.list_topics(kafka.topic, timeout=SECONDS).topics[kafka.topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        partitions = sorted(topic.partitions)
        # Asked for the time "end", Kafka tells the offset of the next record.
        ends = consumer.offsets_for_times(_places(kafka.topic, partitions, OFFSET_END), timeout=SECONDS)
        committed = consumer.committed(_places(kafka.topic, partitions), timeout=SECONDS)
        end_of, committed_of = (
            {place.partition: place.offset for place in _told(places)} for places in (ends, committed)
        )
    finally:
        consumer.close()
    return [
        PartitionLag(
            partition=partition,
            end=end_of[partition],
            # Negative offsets stand for "none".
            committed=offset if (offset := committed_of[partition]) >= 0 else None,
        )
        for partition in partitions
    ]


def _places(topic: str, partitions: Sequence[int], offset: int = OFFSET_INVALID) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for partition in partitions]


def _told(places: Sequence[TopicPartition]) -> Sequence[TopicPartition]:
    """Return what Kafka tells of partitions, or raise what is wrong with one of them."""
    for place in places:
        if place.error is not None:
            raise KafkaException(place.error)
    return places


def _advice(error: KafkaException, kafka: Kafka) -> str:
    fault: KafkaError = error.args[0]
    cause = f"no answer within {SECONDS:.0f} s" if fault.code() == KafkaError._TIMED_OUT else fault.str()
    return (
        f"Kafka at {kafka.bootstrap_servers}: {cause}. Start it with `make up`, or see KAFKA_BOOTSTRAP_SERVERS in .env."
    )


def _meter(request: Request) -> LagMeter:
    meter: LagMeter = request.app.state.lag
    return meter


Meter = Annotated[LagMeter, Depends(_meter)]


@router.get("/kafka", responses=documented(503))
def get_kafka(meter: Meter) -> ConsumerLag:
    """Return how far the stream is behind the topic of posts, measured within the last seconds."""
    return meter.measured()
