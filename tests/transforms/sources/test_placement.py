"""Names of readers."""

from __future__ import annotations

from collections import Counter

import pytest

from transforms.sources.placement import Reader, readers, task_of


@pytest.mark.parametrize(("count", "parallelism"), [(1, 1), (2, 2), (3, 2), (4, 4), (5, 3), (32, 16), (1, 4)])
def test_readers_are_spread_evenly(count, parallelism):
    names = readers(count, parallelism)
    assert [Reader.named(name).index for name in names] == list(range(count))
    assert [task_of(name, parallelism) for name in names] == [i % parallelism for i in range(count)]


def test_the_tasks_are_those_that_flink_computes():
    """Computed by Flink 1.19.3 and Beam 2.70.0 themselves: KeyGroupRangeAssignment of a FlinkKey."""
    found = [task_of(b'{"index":0,"of":2,"salt":%d}' % salt, 4) for salt in range(8)]
    assert found == [3, 0, 0, 1, 1, 2, 0, 3]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_partition_has_one_reader(count):
    every = [Reader.named(name) for name in readers(count, 2)]
    owners = Counter(partition for partition in range(20) for reader in every if reader.owns(partition))
    assert owners == Counter(range(20))
