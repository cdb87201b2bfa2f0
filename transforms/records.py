"""Raw posts as they come from a source: batches of bytes with their position.

A ``RawBatch`` is a run of consecutive offsets of one partition. Everything on the hot path works on such batches, so a
source that delivers batches pays nothing per post; ``BatchRecords`` makes them from a source that delivers single
records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import apache_beam as beam
import msgspec
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from transforms.packing import register

MAX_BATCH = 2_000
"""Posts in a batch: about 6 MB of raw JSON."""


class RawRecord(NamedTuple):
    """One post as the source delivered it.

    Attributes:
        topic: Kafka topic, or the path of the file.
        partition: Kafka partition; 0 for a file.
        offset: offset in the partition; line number, from 0, in a file.
        timestamp_ms: event time that the source gives, milliseconds since the epoch; drives the watermark.
        value: the exact bytes; empty for a Kafka tombstone.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes


class RawBatch(NamedTuple):
    """Consecutive records of one partition: ``values[i]`` has the offset ``first_offset + i``.

    Attributes:
        topic: as in ``RawRecord``.
        partition: as in ``RawRecord``.
        first_offset: offset of the first record.
        timestamps_ms: event time of each record as the source gives it.
        values: the exact bytes of each record.
    """

    topic: str
    partition: int
    first_offset: int
    timestamps_ms: list[int]
    values: list[bytes]

    @property
    def next_offset(self) -> int:
        """The offset that follows the last record."""
        return self.first_offset + len(self.values)

    def to_bytes(self) -> bytes:
        """Pack for the wire; on Flink all that takes raw posts is in one process, and none is packed."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> RawBatch:
        """Unpack what ``to_bytes`` packed."""
        return cls(*_unpack(data))

    def packed_size(self) -> int:
        """Return about how many bytes it packs to."""
        return sum(map(len, self.values))


_unpack = msgspec.msgpack.Decoder(tuple[str, int, int, list[int], list[bytes]]).decode
register(RawBatch)


class RecordBatcher:
    """Collects single records into batches, one open batch per partition."""

    def __init__(self, max_batch: int = MAX_BATCH) -> None:
        self._max_batch = max_batch
        self._open: dict[tuple[str, int], RawBatch] = {}

    def add(self, record: RawRecord) -> Iterator[RawBatch]:
        """Add a record; yield the batch that it completes, if any. A gap in the offsets ends a batch."""
        key = (record.topic, record.partition)
        batch = self._open.get(key)
        if batch is not None and (record.offset != batch.next_offset or len(batch.values) >= self._max_batch):
            yield batch
            batch = None
        if batch is None:
            batch = self._open[key] = RawBatch(record.topic, record.partition, record.offset, [], [])
        batch.timestamps_ms.append(record.timestamp_ms)
        batch.values.append(record.value)

    def flush(self) -> Iterable[RawBatch]:
        """Return the open batches and forget them."""
        batches = list(self._open.values())
        self._open.clear()
        return batches


class _BatchRecordsFn(beam.DoFn):
    def __init__(self, max_batch: int) -> None:
        self._max_batch = max_batch

    def start_bundle(self) -> None:
        self._batcher = RecordBatcher(self._max_batch)

    def process(self, element: RawRecord) -> Iterator[RawBatch]:
        yield from self._batcher.add(element)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for batch in self._batcher.flush():
            yield WindowedValue(batch, Timestamp(micros=batch.timestamps_ms[0] * 1000), (GlobalWindow(),))


@dataclass
class BatchRecords(beam.PTransform):
    """``RawRecord`` → ``RawBatch``, within a bundle."""

    max_batch: int = MAX_BATCH

    def expand(self, records: beam.PCollection[RawRecord]) -> beam.PCollection[RawBatch]:
        """Batch the records of each bundle."""
        return records | "Batch" >> beam.ParDo(_BatchRecordsFn(self.max_batch)).with_output_types(RawBatch)
