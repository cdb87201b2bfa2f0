"""Batches of raw records."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from transforms.packing import PackedCoder
from transforms.records import RawBatch, believable


def test_a_timestamp_that_cannot_be_true_is_brought_where_it_can():
    now = time.time_ns() // 1_000_000
    microseconds, soon = 1_600_000_000_000_000, now + 60_000
    assert believable([now, soon]) == [now, soon]
    found = believable([-(2**60), soon, microseconds, 2**62])
    assert found[:2] == [0, soon]
    assert all(0 <= at - now < 60_000 for at in found[2:])


@given(st.lists(st.tuples(st.integers(-1, 2**52), st.binary(max_size=50)), max_size=20), st.integers(0, 2**50))
def test_bytes_round_trip(records, first):
    batch = RawBatch("t", 3, first, [at for at, _ in records], [value for _, value in records])
    coder = PackedCoder(RawBatch)
    assert coder.decode(coder.encode(batch)) == batch
    assert coder.estimate_size(batch) == sum(len(value) for _, value in records)
