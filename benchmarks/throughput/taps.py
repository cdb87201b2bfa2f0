"""What a pipeline tells while it is measured: how many posts were read and when, and what was counted in the end.

Each tap appends lines to a file of its own; a folder holds the files of all workers.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from benchmarks.throughput.checksum import checksum, shown
from transforms.records import RawBatch
from transforms.windows import CountedWindow, Pane


def _append(folder: str, kind: str, name: str, line: dict[str, Any]) -> None:
    with Path(folder, f"{kind}-{name}.ndjson").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


class _CountReadFn(beam.DoFn):
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def setup(self) -> None:
        self._name = uuid.uuid4().hex

    def start_bundle(self) -> None:
        self._began, self._posts = 0.0, 0

    def process(self, element: RawBatch) -> Iterator[RawBatch]:
        self._began = self._began or time.time()
        self._posts += len(element.values)
        yield element

    def finish_bundle(self) -> None:
        if self._posts:
            line = {"began": self._began, "ended": time.time(), "posts": self._posts, "process": os.getpid()}
            _append(self._folder, "read", self._name, line)


class _NoteCountsFn(beam.DoFn):
    def __init__(self, folder: str, shards: int) -> None:
        self._folder = folder
        self._shards = shards

    def setup(self) -> None:
        self._name = uuid.uuid4().hex

    def process(self, element: CountedWindow) -> None:
        counts = element.counts
        if element.pane is not Pane.EARLY:
            total = checksum(counts.window_start, zip(counts.words(), counts.mentions.tolist(), strict=True))
            line = {"window": counts.window_start, "shard": element.shard, "shards": self._shards}
            line |= {"posts": counts.posts, "checksum": total}
            _append(self._folder, "counted", self._name, line)


def count_read(folder: str) -> beam.ParDo:
    """Pass batches on and note, for each bundle, when it began and ended and how many posts it had."""
    return beam.ParDo(_CountReadFn(folder)).with_output_types(RawBatch)


def note_counts(folder: str, shards: int) -> beam.ParDo:
    """Note the counts of a shard's window each time that they are final so far."""
    return beam.ParDo(_NoteCountsFn(folder, shards))


@dataclass(frozen=True)
class Read:
    """A bundle that was read: epoch seconds, posts, and the number of the process that read it."""

    began: float
    ended: float
    posts: int
    process: int = 0


def read_so_far(folder: Path) -> list[Read]:
    """Return the bundles that were read, in the order of their ends."""
    return sorted((Read(**line) for line in _lines(folder, "read")), key=lambda read: read.ended)


def counted_so_far(folder: Path) -> tuple[int, str]:
    """Return the posts in closed windows, as far as all shards have them, and the checksum of their counts."""
    last: dict[tuple[int, int], tuple[int, int]] = {}
    shards = 1
    for line in _lines(folder, "counted"):
        shards = line["shards"]
        key, value = (line["window"], line["shard"]), (line["posts"], line["checksum"])
        last[key] = max(last.get(key, value), value)
    # Every shard of a window knows all its posts.
    posts = sum(posts for posts, _ in last.values()) // shards
    return posts, shown(posts, sum(total for _, total in last.values()))


def _lines(folder: Path, kind: str) -> Iterator[dict[str, Any]]:
    for path in folder.glob(f"{kind}-*.ndjson"):
        # The last line may still be half written.
        text = path.read_text(encoding="utf-8").rpartition("\n")[0]
        yield from map(json.loads, text.splitlines())
