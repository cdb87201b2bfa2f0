"""The source that Beam brings: ``ReadFromKafka``, whose Java side runs in Flink's task managers.

A Kafka interceptor of ours, one of the consumer's settings, packs what each poll brings, or each record would be an element of its
own on the way through Flink's source, Beam's Java harness and gRPC.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.io.kafka import ReadFromKafka
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from transforms.posts import FUTURE_TOLERANCE_SECONDS
from transforms.records import MAX_BATCH, RawBatch, believable
from transforms.sources.counters import ReadCounters
from transforms.sources.security import java_settings

PACK_RECORDS = "tiktok.anomalies.PackRecords"
"""The interceptor (flink-conf/job-server), which the cluster has on its class path."""

MAX_PACKED = 300
MAX_PACKED_BYTES = 1_000_000
"""Of a pack, but for its last record."""

BUNDLE_PACKS = 90
"""Packs in a bundle (``--max_bundle_size``): 27,000 posts."""
MAX_BUNDLE_PACKS = 99
"""With more than a hundred messages of a bundle underway Beam 2.70's Java harness can stall for good: the thread that takes
them in waits for room, and is the one that would be told that there is room for results."""


def unpack(packed: bytes) -> RawBatch:
    """Unpack what the interceptor packed.

    Raises:
        msgspec.DecodeError: it is a record as Kafka has it; Kafka goes on with those if an interceptor fails.
    """
    batch = RawBatch.from_bytes(packed)
    return batch._replace(timestamps_ms=believable(batch.timestamps_ms))


class _UnpackFn(beam.DoFn):
    """Unpacks, and joins packs that follow one another, for what is paid per batch behind it."""

    def __init__(self) -> None:
        self._counters = ReadCounters()

    def start_bundle(self) -> None:
        self._open: dict[tuple[str, int], RawBatch] = {}

    def process(self, record: tuple[bytes, bytes]) -> Iterator[RawBatch]:
        batch = unpack(record[1])
        partition = (batch.topic, batch.partition)
        before = self._open.pop(partition, None)
        if before is not None:
            if before.next_offset == batch.first_offset and len(before.values) + len(batch.values) <= MAX_BATCH:
                before.timestamps_ms.extend(batch.timestamps_ms)
                before.values.extend(batch.values)
                batch = before
            else:
                yield self._counters.counted(before)
        self._open[partition] = batch

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for batch in self._open.values():
            yield GlobalWindows.windowed_value(self._counters.counted(batch))


@dataclass
class ReadWithKafkaIO(beam.PTransform):
    """Pipeline → ``RawBatch``.

    Attributes:
        bootstrap_servers: brokers, HOST:PORT[,…].
        topic: the topic.
        start_from: where a new job begins, ``earliest`` or ``latest``.
        expansion_service: where the Java side of the transform is described.

    TLS and login are as the environment says, here and in Flink's processes: see ``transforms.sources.security``.
    """

    bootstrap_servers: str
    topic: str
    start_from: str
    expansion_service: str

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[RawBatch]:
        """Read packed records, unpack them in Python."""
        return (
            pipeline
            | "ReadFromKafka"
            >> ReadFromKafka(
                consumer_config={
                    "bootstrap.servers": self.bootstrap_servers,
                    # No group: KafkaIO would go on where the group's committed offsets are, such as those that
                    # --source=librdkafka commits for monitoring.
                    "auto.offset.reset": self.start_from,
                    "enable.auto.commit": "false",
                    "interceptor.classes": PACK_RECORDS,
                    "pack.max.records": str(MAX_PACKED),
                    "pack.max.bytes": str(MAX_PACKED_BYTES),
                    "pack.future.tolerance.ms": str(FUTURE_TOLERANCE_SECONDS * 1000),
                    # Much at once: the thread that polls and the one that passes on take turns. A topic with few posts is
                    # asked four times a second, or a bundle would be full of packs of a few posts.
                    "max.poll.records": str(MAX_BATCH),
                    "max.partition.fetch.bytes": "4000000",
                    "fetch.min.bytes": "1000000",
                    "fetch.max.wait.ms": "250",
                    **java_settings(os.environ),
                },
                topics=[self.topic],
                timestamp_policy=ReadFromKafka.create_time_policy,
                commit_offset_in_finalize=False,
                expansion_service=self.expansion_service,
            )
            | "Unpack" >> beam.ParDo(_UnpackFn()).with_output_types(RawBatch)
        )
