"""The source that Beam brings: ``ReadFromKafka``, whose Java side runs in Flink's task managers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io.kafka import ReadFromKafka

from transforms.records import BatchRecords, RawBatch, RawRecord


def from_kafka(record: Any) -> RawRecord:
    """Turn a row of ``ReadFromKafka(with_metadata=True)`` into a ``RawRecord``."""
    return RawRecord(record.topic, record.partition, record.offset, record.timestamp, record.value or b"")


@dataclass
class ReadWithKafkaIO(beam.PTransform):
    """Pipeline → ``RawBatch``.

    Attributes:
        bootstrap_servers: brokers, HOST:PORT[,…].
        topic: the topic.
        group: consumer group, for monitoring.
        start_from: where a new job begins, ``earliest`` or ``latest``.
        expansion_service: where the Java side of the transform is described.
    """

    bootstrap_servers: str
    topic: str
    group: str
    start_from: str
    expansion_service: str

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[RawBatch]:
        """Read single records and batch them."""
        return (
            pipeline
            | "ReadFromKafka"
            >> ReadFromKafka(
                consumer_config={
                    "bootstrap.servers": self.bootstrap_servers,
                    "group.id": self.group,
                    "auto.offset.reset": self.start_from,
                    "enable.auto.commit": "false",
                },
                topics=[self.topic],
                timestamp_policy=ReadFromKafka.create_time_policy,
                with_metadata=True,  # an archived post's place is its partition and offset
                commit_offset_in_finalize=False,
                expansion_service=self.expansion_service,
            )
            | "Record" >> beam.Map(from_kafka)
            | "Batch" >> BatchRecords()
        )
