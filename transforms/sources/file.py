"""The source for a look without any server: a file of posts, one a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import msgspec

from transforms.posts import LAST_SECOND, UNREADABLE
from transforms.records import MAX_BATCH, RawBatch


class _TimeStamp(msgspec.Struct):
    time_stamp: float | str = 0.0


def read_lines(path: str, max_batch: int = MAX_BATCH) -> Iterator[RawBatch]:
    """Read the lines of a file in batches; an unreadable time stamp is that of the line before.

    Args:
        path: of the file; it takes the place of a topic's name.
        max_batch: lines in a batch at most.
    """
    decode = msgspec.json.Decoder(_TimeStamp).decode
    timestamp_ms = 0
    batch = RawBatch(path, 0, 0, [], [])
    with Path(path).open("rb") as file:
        for line in file:
            with suppress(*UNREADABLE, ValueError):
                time_stamp = float(decode(line).time_stamp)  # as in any post, it may be in quotes
                if 0 < time_stamp < LAST_SECOND:
                    timestamp_ms = int(time_stamp * 1000)
            batch.timestamps_ms.append(timestamp_ms)
            batch.values.append(line.rstrip(b"\n"))
            if len(batch.values) == max_batch:
                yield batch
                batch = RawBatch(path, 0, batch.next_offset, [], [])
    if batch.values:
        yield batch


@dataclass
class ReadFile(beam.PTransform):
    """Pipeline → ``RawBatch``: the lines of one file, which need not be readable posts."""

    path: str

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[RawBatch]:
        """Read the file in one go."""
        lines = beam.FlatMap(read_lines).with_output_types(RawBatch)
        return pipeline | "Path" >> beam.Create([self.path]) | "Lines" >> lines
