"""What a measured pipeline tells of its counts."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.testing.test_pipeline import TestPipeline

from benchmarks.throughput.checksum import checksum, shown
from benchmarks.throughput.taps import checksum_counted, note_counts, posts_counted
from transforms.mentions import MentionBatch
from transforms.windows import CountedWindow, Pane

START = 1_600_000_200


def window(shard: int, pane: Pane, posts: int, mentions: dict[str, int]) -> CountedWindow:
    n = len(mentions)
    columns = np.array(list(mentions.values()), np.int64), np.ones(n, np.uint8), np.arange(n), np.zeros(n, np.int64)
    return CountedWindow(shard, pane, MentionBatch(START, posts, pa.array(mentions, pa.string()), *columns))


def tell(folder: Path, *windows: CountedWindow) -> None:
    with TestPipeline() as pipeline:
        pipeline | beam.Create(windows) | note_counts(str(folder), shards=2)


def test_nothing_is_counted_at_first_and_early_panes_are_none(tmp_path: Path):
    assert posts_counted(tmp_path) == 0
    tell(tmp_path, window(0, Pane.EARLY, 5, {"dance": 3}))
    assert posts_counted(tmp_path) == 0


def test_the_last_counts_of_each_shard_are_told(tmp_path: Path):
    tell(tmp_path, window(0, Pane.ON_TIME, 5, {"dance": 3, "ramen": 1}))
    assert posts_counted(tmp_path) == 2  # the other shard has not told
    tell(tmp_path, window(1, Pane.LATE, 12, {"café": 2}), window(0, Pane.LATE, 12, {"dance": 9, "ramen": 1}))
    tell(tmp_path, window(1, Pane.ON_TIME, 5, {"café": 1}))
    assert posts_counted(tmp_path) == 12
    expected = checksum(START, [("dance", 9), ("ramen", 1), ("café", 2)])
    assert checksum_counted(tmp_path) == shown(12, expected)
