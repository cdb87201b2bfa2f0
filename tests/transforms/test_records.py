"""Batches of raw records."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from transforms.packing import PackedCoder
from transforms.records import RawBatch, RawRecord, RecordBatcher
from transforms.sources.kafkaio import unpack


def record(offset: int, partition: int = 0, topic: str = "posts") -> RawRecord:
    return RawRecord(topic, partition, offset, offset * 10, b"%d" % offset)


def batches_of(records: list[RawRecord], max_batch: int) -> list[RawBatch]:
    batcher = RecordBatcher(max_batch)
    batches = [batch for one in records for batch in batcher.add(one)]
    batches += batcher.flush()
    assert list(batcher.flush()) == []
    return batches


def test_a_run_is_one_batch():
    assert batches_of([record(5), record(6)], 10) == [RawBatch("posts", 0, 5, [50, 60], [b"5", b"6"])]


def test_a_full_batch_is_passed_on():
    batches = batches_of([record(i) for i in range(7)], 3)
    assert [(b.first_offset, len(b.values), b.next_offset) for b in batches] == [(0, 3, 3), (3, 3, 6), (6, 1, 7)]


def test_a_gap_or_a_step_back_ends_a_run():
    batches = batches_of([record(0), record(1), record(4), record(2)], 10)
    assert [(b.first_offset, b.values) for b in batches] == [(0, [b"0", b"1"]), (4, [b"4"]), (2, [b"2"])]


def test_partitions_and_topics_do_not_cut_each_other():
    records = [record(0, 0), record(0, 1), record(1, 0), record(1, 1), record(0, 0, "other")]
    batches = batches_of(records, 10)
    assert [(b.topic, b.partition, len(b.values)) for b in batches] == [
        ("posts", 0, 2),
        ("posts", 1, 2),
        ("other", 0, 1),
    ]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=60), st.integers(1, 5))
def test_every_record_is_in_one_batch_at_its_own_place(places, max_batch):
    records = [record(offset, partition) for partition, offset in places]
    batches = batches_of(records, max_batch)
    assert all(1 <= len(batch.values) == len(batch.timestamps_ms) <= max_batch for batch in batches)
    back = [
        RawRecord(b.topic, b.partition, b.first_offset + i, b.timestamps_ms[i], value)
        for b in batches
        for i, value in enumerate(b.values)
    ]
    for partition in range(3):  # within a partition the order stays
        assert [r for r in back if r.partition == partition] == [r for r in records if r.partition == partition]


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
