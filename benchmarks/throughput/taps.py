"""What a pipeline tells while it is measured: how many posts were read and when, and what was counted in the end.

A folder holds what the taps of all workers tell. They do next to nothing: what was counted is checked when the run is over.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam

from benchmarks.throughput.checksum import checksum, shown
from transforms.mentions import MentionBatch
from transforms.records import RawBatch
from transforms.windows import CountedWindow, Pane


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
            with Path(self._folder, f"read-{self._name}.ndjson").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


class _NoteCountsFn(beam.DoFn):
    def __init__(self, folder: str, shards: int) -> None:
        self._folder = folder
        self._shards = shards

    def process(self, element: CountedWindow) -> None:
        counts = element.counts
        if element.pane is not Pane.EARLY:
            told = _Counted(counts.window_start, element.shard, self._shards, counts.posts)
            unfinished = Path(self._folder, f".{uuid.uuid4().hex}")
            unfinished.write_bytes(counts.to_bytes())
            unfinished.replace(Path(self._folder, told.file_name))


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
    reads: list[Read] = []
    for path in folder.glob("read-*.ndjson"):
        # The last line may still be half written.
        lines = path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        reads += [Read(**json.loads(line)) for line in lines]
    return sorted(reads, key=lambda read: read.ended)


class _Counted(NamedTuple):
    window_start: int
    shard: int
    shards: int
    posts: int

    @property
    def file_name(self) -> str:
        return ".".join(("counted", *map(str, self)))

    @classmethod
    def of(cls, path: Path) -> _Counted:
        return cls(*map(int, path.name.split(".")[1:]))


def posts_counted(folder: Path) -> int:
    """Return the posts in closed windows, as far as all shards have them."""
    last = _last_counts(folder)
    shards = max((counted.shards for counted in last), default=1)
    return sum(counted.posts for counted in last) // shards  # every shard of a window knows all its posts


def checksum_counted(folder: Path) -> str:
    """Return the checksum of the counts of closed windows."""
    total = 0
    for path in _last_counts(folder).values():
        counts = MentionBatch.from_bytes(path.read_bytes())
        total += checksum(counts.window_start, zip(counts.words(), counts.mentions.tolist(), strict=True))
    return shown(posts_counted(folder), total)


def _last_counts(folder: Path) -> dict[_Counted, Path]:
    """Return where the counts of each shard's windows are that have the most posts: late posts make new ones."""
    last: dict[tuple[int, int], tuple[_Counted, Path]] = {}
    for path in folder.glob("counted.*"):
        counted = _Counted.of(path)
        place = counted.window_start, counted.shard
        last[place] = max(last.get(place, (counted, path)), (counted, path))
    return dict(last.values())
