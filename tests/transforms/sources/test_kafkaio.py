"""What Python makes of the packs that the Java side of ``--source=kafkaio`` sends."""

from __future__ import annotations

import msgspec
import pytest

from transforms.records import MAX_BATCH, RawBatch
from transforms.sources.kafkaio import BUNDLE_PACKS, MAX_BUNDLE_PACKS, _UnpackFn, unpack


def pack(first: int, posts: int, partition: int = 0) -> tuple[bytes, bytes]:
    values = [b"%d" % offset for offset in range(first, first + posts)]
    return b"", msgspec.msgpack.encode(
        ("posts", partition, first, [offset * 1000 for offset in range(first, first + posts)], values)
    )


def unpacked(*packs: tuple[bytes, bytes]) -> list[RawBatch]:
    fn = _UnpackFn()
    fn.start_bundle()
    batches = [batch for each in packs for batch in fn.process(each)]
    return [*batches, *(windowed.value for windowed in fn.finish_bundle())]


def places(batches: list[RawBatch]) -> list[tuple[int, int, int]]:
    return [(batch.partition, batch.first_offset, len(batch.values)) for batch in batches]


def test_a_pack_is_read_as_it_is():
    values = [b"", bytes(range(256)), b"x" * 70_000]
    packed = msgspec.msgpack.encode(("posts", 2, 2**40, [99, 1_600_000_000_000, 0], values))
    assert unpack(packed) == RawBatch("posts", 2, 2**40, [99, 1_600_000_000_000, 0], values)
    assert unpack(msgspec.msgpack.encode(("posts", 0, 0, [-1], [b""]))).timestamps_ms == [0]


def test_a_record_that_was_not_packed_is_an_error():
    with pytest.raises(msgspec.DecodeError):
        unpack(b'{"id": "1"}')


def test_packs_that_follow_one_another_are_joined():
    (batch,) = unpacked(pack(5, 300), pack(305, 300), pack(605, 1))
    assert (batch.first_offset, batch.next_offset) == (5, 606)
    assert batch.values == [b"%d" % offset for offset in range(5, 606)]
    assert batch.timestamps_ms == [offset * 1000 for offset in range(5, 606)]


def test_partitions_gaps_and_full_batches_stay_apart():
    found = unpacked(pack(0, 2), pack(7, 3, partition=1), pack(2, 1), pack(4, 1), pack(10, 2, partition=1))
    assert sorted(places(found)) == [(0, 0, 3), (0, 4, 1), (1, 7, 5)]
    assert places(unpacked(pack(0, MAX_BATCH - 1), pack(MAX_BATCH - 1, 2))) == [
        (0, 0, MAX_BATCH - 1),
        (0, MAX_BATCH - 1, 2),
    ]


def test_a_bundle_keeps_nothing_for_the_next():
    fn = _UnpackFn()
    for first in (0, 300):
        fn.start_bundle()
        assert list(fn.process(pack(first, 300))) == []
        assert places([windowed.value for windowed in fn.finish_bundle()]) == [(0, first, 300)]


def test_a_bundle_is_no_larger_than_the_java_side_can_take():
    assert BUNDLE_PACKS <= MAX_BUNDLE_PACKS < 100
