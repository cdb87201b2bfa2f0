"""The source that Beam brings: ``ReadFromKafka``, whose Java side runs in Flink's task managers.

A small Java transform of ours packs its records before they leave the JVM: one at a time, each would cost a decoding of nine
fields in Python, and twice as much in the task manager.
"""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam
from apache_beam.io.kafka import ReadFromKafka
from apache_beam.transforms.external import ImplicitSchemaPayloadBuilder

from transforms.records import RawBatch, believable

PACK_RECORDS = "tiktok:transform:pack_records:v1"
"""The name of ``PackRecords`` (flink-conf/job-server), by which the expansion service knows it."""

MAX_PACKED = 500
"""Records that cross to Python together: about 1.6 MB."""


def unpack(packed: bytes) -> RawBatch:
    """Unpack a batch of ``PackRecords``; a function, for Beam would pickle the bound method with all that it needs."""
    batch = RawBatch.from_bytes(packed)
    return batch._replace(timestamps_ms=believable(batch.timestamps_ms))


@dataclass
class ReadWithKafkaIO(beam.PTransform):
    """Pipeline → ``RawBatch``.

    Attributes:
        bootstrap_servers: brokers, HOST:PORT[,…].
        topic: the topic.
        start_from: where a new job begins, ``earliest`` or ``latest``.
        expansion_service: where the Java side of the transform is described.
    """

    bootstrap_servers: str
    topic: str
    start_from: str
    expansion_service: str

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[RawBatch]:
        """Read single records, pack them into batches, unpack these in Python."""
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
                },
                topics=[self.topic],
                timestamp_policy=ReadFromKafka.create_time_policy,
                with_metadata=True,  # an archived post's place is its partition and offset
                commit_offset_in_finalize=False,
                expansion_service=self.expansion_service,
            )
            | "Pack"
            >> beam.ExternalTransform(
                PACK_RECORDS, ImplicitSchemaPayloadBuilder({"max_batch": MAX_PACKED}), self.expansion_service
            )
            | "Unpack" >> beam.Map(unpack).with_output_types(RawBatch)
        )
