"""Names for the readers of a topic such that Flink spreads them evenly over its tasks.

Flink runs a splittable DoFn's element on the task that the hash of the element's bytes names. With as many elements as
tasks, one in two would share a task with another while a task is idle. So each name carries a number that is chosen to
make its hash right. Only balance depends on it: wherever a reader runs, it reads what is its own.
"""

from __future__ import annotations

import itertools

import mmh3
import msgspec

MASK = 0xFFFFFFFF


class Reader(msgspec.Struct, frozen=True):
    """One of several readers of a topic: it has the partitions p with p mod ``of`` = ``index``.

    Attributes:
        index: number of the reader, from 0.
        of: number of readers.
        salt: makes the hash of the name what it should be.
    """

    index: int
    of: int
    salt: int = 0

    def owns(self, partition: int) -> bool:
        """Tell whether a partition is this reader's."""
        return partition % self.of == self.index

    def name(self) -> bytes:
        """Return the element that stands for the reader."""
        return msgspec.json.encode(self)

    @classmethod
    def named(cls, name: bytes) -> Reader:
        """Return the reader of a name."""
        return _decode(name)


_decode = msgspec.json.Decoder(Reader).decode


def readers(count: int, parallelism: int) -> list[bytes]:
    """Return the names of ``count`` readers, the i-th of which runs on Flink's task i mod ``parallelism``."""
    return [_placed(index, count, parallelism) for index in range(count)]


def _placed(index: int, count: int, parallelism: int) -> bytes:
    names = (Reader(index, count, salt).name() for salt in itertools.count())
    return next(name for name in names if task_of(name, parallelism) == index % parallelism)


def task_of(element: bytes, parallelism: int) -> int:
    """Return the task on which Flink runs an element: Beam 2.70's ``FlinkKey``, Flink 1.19's key groups."""
    groups = min(max(1 << (parallelism + parallelism // 2 - 1).bit_length(), 128), 1 << 15)
    assert len(element) < 128, "a longer name has a longer prefix"
    low = mmh3.hash64(bytes((len(element),)) + element, signed=False)[0] & MASK
    return _spread(low) % groups * parallelism // groups


def _spread(code: int) -> int:
    """Flink's own hash of a hash code: one round of MurmurHash3 for 32 bits, never negative."""
    code = code * 0xCC9E2D51 & MASK
    code = (code << 15 | code >> 17) & MASK
    code = code * 0x1B873593 & MASK
    code = (code << 13 | code >> 19) & MASK
    code = (code * 5 + 0xE6546B64) & MASK
    code ^= 4
    code ^= code >> 16
    code = code * 0x85EBCA6B & MASK
    code ^= code >> 13
    code = code * 0xC2B2AE35 & MASK
    code ^= code >> 16
    signed = code - (1 << 32) if code >> 31 else code
    return 0 if signed == -(1 << 31) else abs(signed)
