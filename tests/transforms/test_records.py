"""Batches of raw records."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from transforms.packing import PackedCoder
from transforms.records import RawBatch
from transforms.sources.kafkaio import unpack


def test_a_batch_packed_by_the_java_side_is_read_as_it_is():
    values = [b"", bytes(range(256)), b"x" * 70_000]
    packed = msgspec.msgpack.encode(("posts", 2, 2**40, [99, 1_600_000_000_000, -1], values))
    assert unpack(packed) == RawBatch("posts", 2, 2**40, [99, 1_600_000_000_000, -1], values)


@given(st.lists(st.tuples(st.integers(-1, 2**52), st.binary(max_size=50)), max_size=20), st.integers(0, 2**50))
def test_bytes_round_trip(records, first):
    batch = RawBatch("t", 3, first, [at for at, _ in records], [value for _, value in records])
    coder = PackedCoder(RawBatch)
    assert coder.decode(coder.encode(batch)) == batch
    assert coder.estimate_size(batch) == sum(len(value) for _, value in records)
