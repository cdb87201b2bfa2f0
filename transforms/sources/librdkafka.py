"""The fast source: a splittable DoFn that reads Kafka inside the Python worker, a batch at a time.

With ``ReadFromKafka`` each post crosses from Kafka to Java, to another operator, and by gRPC to Python. Here the Python
worker reads it itself, decoding, archive and counting are fused behind, and only packed counts leave the worker.

Each of a few readers has its share of the partitions. Its positions are the DoFn's restriction, so they are in the
runner's checkpoints with the counts. Flink never asks a splittable DoFn to stop, so it stops by itself, after
``BUNDLE_SECONDS`` or when it has read all there is, and hands the rest over to the next bundle. That is also the
back-pressure: the next bundle begins when Flink has taken the results of this one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.utils.timestamp import Timestamp

from transforms.records import RawBatch
from transforms.sources.consumer import TopicReader, TopicSettings
from transforms.sources.counters import ReadCounters
from transforms.sources.placement import Reader, readers
from transforms.sources.positions import Claim, PositionsProvider

BUNDLE_SECONDS = 1.5
"""How long one bundle reads: longer than Flink takes to ask for its end (``--max_bundle_time_mills`` and half as much
again), or the worker would wait for that with nothing to do."""


@beam.DoFn.unbounded_per_element()
class _ReadFn(beam.DoFn):
    def __init__(self, settings: TopicSettings) -> None:
        self._settings = settings
        self._counters = ReadCounters()

    def setup(self) -> None:
        self._readers: dict[bytes, TopicReader] = {}

    def process(
        self,
        element: bytes,
        tracker: Any = beam.DoFn.RestrictionParam(PositionsProvider()),  # noqa: B008 - Beam's way
        estimator: Any = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider()),  # noqa: B008
    ) -> Iterator[RawBatch]:
        reader = self._readers.get(element)
        if reader is None:
            reader = self._readers[element] = TopicReader(self._settings, Reader.named(element).owns)
        end = time.monotonic() + BUNDLE_SECONDS
        positions = tracker.current_restriction()
        reader.resume(positions.offsets)
        found = reader.find(positions.offsets, started=positions.started)
        if found is not None:
            if not all(map(tracker.try_claim, [*found, None])):
                return
            reader.take_up(found)
        if found is not None or positions.started:
            while batches := reader.read():
                for batch in batches:
                    if not tracker.try_claim(Claim(batch.partition, batch.next_offset)):
                        return
                    yield self._counters.counted(batch)
                if time.monotonic() >= end:
                    break
            _advance(estimator, reader.watermark_ms())
        tracker.defer_remainder()

    def teardown(self) -> None:
        for reader in self._readers.values():
            reader.close()


def _advance(estimator: Any, watermark_ms: int | None) -> None:
    if watermark_ms is None:
        return
    watermark = Timestamp(micros=watermark_ms * 1000)
    before = estimator.current_watermark()
    if before is None or watermark > before:
        estimator.set_watermark(watermark)


@dataclass
class ReadWithLibrdkafka(beam.PTransform):
    """Pipeline → ``RawBatch``.

    Attributes:
        settings: what to read.
        readers: number of readers; each reads every so-many-th partition. It stays the same for the life of a job.
        parallelism: number of Flink's parallel tasks, over which the readers are spread.
    """

    settings: TopicSettings
    readers: int
    parallelism: int

    def names(self) -> list[bytes]:
        """Return the elements that stand for the readers."""
        return readers(self.readers, self.parallelism)

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[RawBatch]:
        """Start the readers."""
        names = self.names()
        return (
            pipeline
            | "Start" >> beam.Impulse()
            | "Readers" >> beam.FlatMap(lambda _: names).with_output_types(bytes)
            | "Read" >> beam.ParDo(_ReadFn(self.settings)).with_output_types(RawBatch)
        )
