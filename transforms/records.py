"""Raw posts as they come from a source: batches of bytes with their position.

A ``RawBatch`` is a run of consecutive offsets of one partition. Everything on the hot path works on such batches, so that
nothing but the work itself is paid per post.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import msgspec

from transforms.packing import register
from transforms.posts import FUTURE_TOLERANCE_SECONDS

MAX_BATCH = 2_000
"""Posts in a batch: about 6 MB of raw JSON."""


def believable(timestamps_ms: list[int]) -> list[int]:
    """Return timestamps of records that can be true: Kafka takes any from a producer, also such as have no date.

    What lies before 1970 becomes its beginning; what lies further ahead of the clock than a post may, the clock.
    """
    now_ms = time.time_ns() // 1_000_000
    latest = now_ms + FUTURE_TOLERANCE_SECONDS * 1000
    if min(timestamps_ms) >= 0 and max(timestamps_ms) <= latest:
        return timestamps_ms
    return [max(at_ms, 0) if at_ms <= latest else now_ms for at_ms in timestamps_ms]


class RawBatch(NamedTuple):
    """Consecutive records of one partition: ``values[i]`` has the offset ``first_offset + i``.

    Attributes:
        topic: Kafka topic, or the path of a file.
        partition: Kafka partition; 0 for a file.
        first_offset: offset of the first record in the partition; line number, from 0, in a file.
        timestamps_ms: event time of each record as the source gives it, as far as it is ``believable``, milliseconds since
            the epoch; drives the watermark.
        values: the exact bytes of each record; empty for a Kafka tombstone.
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

    def part(self, start: int, end: int) -> RawBatch:
        """Return the records from one index to before another."""
        times, values = self.timestamps_ms[start:end], self.values[start:end]
        return RawBatch(self.topic, self.partition, self.first_offset + start, times, values)

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
