"""Raw posts as they come from a source: batches of bytes with their position.

A ``RawBatch`` is a run of consecutive offsets of one partition. Everything on the hot path works on such batches, so that
nothing but the work itself is paid per post.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from transforms.packing import register

MAX_BATCH = 2_000
"""Posts in a batch: about 6 MB of raw JSON."""


class RawBatch(NamedTuple):
    """Consecutive records of one partition: ``values[i]`` has the offset ``first_offset + i``.

    Attributes:
        topic: Kafka topic, or the path of a file.
        partition: Kafka partition; 0 for a file.
        first_offset: offset of the first record in the partition; line number, from 0, in a file.
        timestamps_ms: event time of each record as the source gives it, milliseconds since the epoch; drives the watermark.
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
