"""The watermark of a reader."""

from __future__ import annotations

from transforms.sources.event_time import EventTime

NOW = 1_000_000


def partitions(*numbers: int) -> EventTime:
    times = EventTime(out_of_orderness_ms=100, idle_seconds=10)
    for number in numbers:
        times.add(number, now=0)
    return times


def test_the_slowest_partition_holds_it():
    times = partitions(0, 1)
    times.heard(0, 5_000, now=1)
    assert times.watermark_ms(NOW) is None
    times.heard(1, 3_000, now=1)
    assert times.watermark_ms(NOW) == 2_900


def test_an_older_record_does_not_take_it_back():
    times = partitions(0)
    times.heard(0, 5_000, now=1)
    times.heard(0, 3_000, now=2)
    assert times.watermark_ms(NOW) == 4_900


def test_the_future_does_not_take_it_along():
    times = partitions(0)
    times.heard(0, NOW + 5_000, now=1)
    assert times.watermark_ms(NOW) == NOW - 100


def test_silence_alone_changes_nothing():
    times = partitions(0)
    times.heard(0, 5_000, now=1)
    assert times.silent(now=10.9) == []
    assert times.silent(now=11) == [0]
    assert times.watermark_ms(NOW) == 4_900


def test_an_idle_partition_is_as_far_as_the_broker_has_confirmed():
    times = partitions(0, 1)
    times.heard(0, 5_000, now=1)
    times.heard(1, 900_000, now=1)
    times.empty(0, at_ms=800_000)
    assert times.watermark_ms(NOW) == 799_900
    times.empty(0, at_ms=950_000)
    assert times.watermark_ms(NOW) == 899_900


def test_a_partition_without_any_record_can_be_idle():
    times = partitions(0)
    assert times.silent(now=10) == [0]
    times.empty(0, at_ms=NOW - 1)
    assert times.watermark_ms(NOW) == NOW - 101


def test_a_record_ends_idleness():
    times = partitions(0)
    times.empty(0, at_ms=NOW - 1)
    times.heard(0, 5_000, now=20)
    assert times.silent(now=21) == []
    assert times.watermark_ms(NOW) == 4_900


def test_a_reader_without_partitions_follows_the_clock():
    assert partitions().watermark_ms(NOW) == NOW - 100


def test_a_partition_that_is_added_twice_keeps_its_time():
    times = partitions(0)
    times.heard(0, 5_000, now=1)
    times.add(0, now=2)
    assert times.watermark_ms(NOW) == 4_900
