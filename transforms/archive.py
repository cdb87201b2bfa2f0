"""The raw archive: every consumed post, byte for byte, in the data lake.

An object is a run of consecutive offsets of one partition, one post a line, zstd-compressed, at
``raw/dt=YYYY-MM-DD/hh=HH/TOPIC-PARTITION-FIRSTOFFSET.ndjson.zst``: line *i* has the offset ``FIRSTOFFSET + i``. A post
with a line break in it has an object of its own (``.json.zst``). The hour is that of the object's first post; late posts
stay in the run that they came in, so they lie in a later hour, never in an earlier one.

Before each zstd frame of posts stands a skippable frame (RFC 8878, 3.1.2) with the timestamps that the source gave them:
zstd's own tools pass it over, and the daily batch judges lateness by it just as the stream did. It also says how long the
frame of posts is, so a reader finds the frames without decompressing.

Posts are durable before the checkpoint that acknowledges them, so an object must be written with every bundle. To make
it an object of useful size all the same it *grows*: each bundle writes it anew, longer, under the same name, until it
is large or old enough. A full object is written while the bundle reads on. A replay starts objects at other offsets; a
reader drops what it has seen of the partition (``without_repeats``), and so reads each post exactly once.
"""

from __future__ import annotations

import re
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby, pairwise, repeat
from operator import contains

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import zstandard
from apache_beam.metrics.metric import Metrics
from apache_beam.utils.shared import Shared

from transforms import lake
from transforms.records import RawBatch
from transforms.uploads import Uploads

FULL_BYTES = 8 << 20
"""Compressed bytes at which an object is complete. At a bundle's end half of it is enough: what grows is written again."""

FULL_SECONDS = 180
"""Age at which an object is complete."""

_SKIPPABLE = 0x184D2A57
_HEAD = struct.Struct("<II")  # magic number, bytes that follow
_NEXT = struct.Struct("<I")  # bytes of the posts' frame; then the timestamps, compressed

_LINES, _SINGLE = ".ndjson.zst", ".json.zst"
_HOUR_MS = 3_600_000
_NAME = re.compile(r"(?P<topic>.+)-(?P<partition>\d+)-(?P<offset>\d{20})(?P<kind>\.ndjson\.zst|\.json\.zst)$")


@dataclass(eq=False)
class _OpenObject:
    url: str
    hour: int
    next_offset: int
    opened: float
    frames: list[bytes] = field(default_factory=list)
    size: int = 0
    dirty: bool = False


class Archiver:
    """Cuts batches into objects and writes them. Safe for threads: bundles of one process share the open objects.

    Args:
        prefix: address of the archive, such as ``s3://bucket/raw``.
        level: zstd level; 1 keeps up with the rest of the hot path and still shrinks posts several times.
    """

    def __init__(self, prefix: str, level: int = 1) -> None:
        self._prefix = prefix.rstrip("/")
        self._compressor = zstandard.ZstdCompressor(level=level)
        self._open: dict[tuple[str, int], _OpenObject] = {}
        self._uploads = Uploads()
        self._lock = threading.Lock()

    def add(self, batch: RawBatch) -> None:
        """Take a batch; it is durable after the next ``flush``."""
        with self._lock:
            for hour, run in _by_hour(batch):
                self._append(hour, run)

    def flush(self) -> None:
        """Write every object that has grown; afterwards all that was added is durable."""
        with self._lock:
            for key, target in list(self._open.items()):
                self._write(target)
                if target.size >= FULL_BYTES / 2 or time.monotonic() - target.opened >= FULL_SECONDS:
                    del self._open[key]
            self._uploads.finish()

    def _write(self, target: _OpenObject) -> None:
        if target.dirty:
            self._uploads.start(target.url, b"".join(target.frames))
            target.dirty = False

    def _append(self, hour: int, run: RawBatch) -> None:
        if any(map(contains, run.values, repeat(b"\n"))):
            self._append_around_breaks(hour, run)
            return
        key = (run.topic, run.partition)
        target = self._open.get(key)
        if target is None or target.next_offset != run.first_offset or target.hour < hour:
            if target is not None:
                self._write(target)
            target = self._open[key] = _OpenObject(
                self._url(hour, run, _LINES), hour, run.first_offset, time.monotonic()
            )
        frame = self._frame(b"\n".join([*run.values, b""]), run.timestamps_ms)
        target.frames.append(frame)
        target.size += len(frame)
        target.next_offset = run.next_offset
        target.dirty = True
        if target.size >= FULL_BYTES:
            self._write(target)
            del self._open[key]

    def _append_around_breaks(self, hour: int, run: RawBatch) -> None:
        start = 0
        for has_break, values in groupby(run.values, lambda value: b"\n" in value):
            end = start + len(list(values))
            if has_break:
                for i in range(start, end):
                    single = run.part(i, i + 1)
                    self._uploads.start(
                        self._url(hour, single, _SINGLE), self._frame(run.values[i], single.timestamps_ms)
                    )
            else:
                self._append(hour, run.part(start, end))
            start = end

    def _frame(self, content: bytes, timestamps_ms: list[int]) -> bytes:
        frame = self._compressor.compress(content)
        # Nearly in order: the steps are small, so they shrink.
        steps = np.diff(np.array(timestamps_ms, "<i8"), prepend=0).astype("<i8")
        times = self._compressor.compress(steps.tobytes())
        head = _HEAD.pack(_SKIPPABLE, _NEXT.size + len(times)) + _NEXT.pack(len(frame))
        return head + times + frame

    def _url(self, hour: int, run: RawBatch, kind: str) -> str:
        at = datetime.fromtimestamp(hour * 3600, UTC)
        position = f"{lake.named_after(run.topic)}-{run.partition}-{run.first_offset:020d}"
        return f"{self._prefix}/dt={at:%Y-%m-%d}/hh={at:%H}/{position}{kind}"


def _by_hour(batch: RawBatch) -> Iterator[tuple[int, RawBatch]]:
    """Split a batch where the hour moves on; a late post does not move it back."""
    now_ms = int(time.time() * 1000)  # a time stamp in the future must not name a folder there
    hours = np.maximum.accumulate(np.minimum(np.array(batch.timestamps_ms, np.int64), now_ms) // _HOUR_MS)
    cuts = [0, *(np.flatnonzero(np.diff(hours)) + 1).tolist(), len(hours)]
    for start, end in pairwise(cuts):
        yield int(hours[start]), batch.part(start, end)


@dataclass(frozen=True, slots=True, eq=False)
class ArchivedRun:
    """The content of one object: consecutive posts of a partition.

    Attributes:
        topic: Kafka topic that they came from.
        partition: its partition.
        first_offset: offset of the first post.
        values: the exact bytes of each.
        timestamps_ms: the source's timestamp of each, milliseconds since the epoch, int64[n]; ``NO_TIMESTAMP`` for posts
            that something else than the stream archived.
    """

    topic: str
    partition: int
    first_offset: int
    values: list[bytes]
    timestamps_ms: npt.NDArray[np.int64]


NO_TIMESTAMP = -1


class BrokenObjectError(ValueError):
    """An object of the raw archive that cannot be read."""


def read_object(url: str, data: bytes) -> ArchivedRun:
    """Read one object.

    Raises:
        BrokenObjectError: the name or the content is not that of an archive object.
    """
    name = _NAME.search(url.rpartition("/")[2])
    if name is None:
        msg = f"not an object of the raw archive: {url}"
        raise BrokenObjectError(msg)
    try:
        content, timestamps_ms = _read_frames(data)
    except (zstandard.ZstdError, struct.error, ValueError) as error:
        msg = f"broken object in the raw archive: {url}: {error}"
        raise BrokenObjectError(msg) from None
    # The last line of what something else has archived may have no line break.
    values = content.removesuffix(b"\n").split(b"\n") if name["kind"] == _LINES else [content]
    if timestamps_ms is None:
        timestamps_ms = np.full(len(values), NO_TIMESTAMP, np.int64)
    if len(timestamps_ms) != len(values):
        msg = f"broken object in the raw archive: {url}: {len(values)} posts, {len(timestamps_ms)} timestamps"
        raise BrokenObjectError(msg)
    return ArchivedRun(name["topic"], int(name["partition"]), int(name["offset"]), values, timestamps_ms)


def _read_frames(data: bytes) -> tuple[bytes, npt.NDArray[np.int64] | None]:
    decompressor = zstandard.ZstdDecompressor()
    if not data:
        msg = "it is empty"
        raise ValueError(msg)
    if data[:4] != _HEAD.pack(_SKIPPABLE, 0)[:4]:
        return _read_foreign(decompressor, data), None
    parts, times, view, at = [], [], memoryview(data), 0
    while at < len(data):
        magic, size = _HEAD.unpack_from(data, at)
        (length,) = _NEXT.unpack_from(data, at + _HEAD.size)
        frame = at + _HEAD.size + size
        if magic != _SKIPPABLE or frame + length > len(data):
            msg = "cut off, or not as the stream writes it"
            raise ValueError(msg)
        steps = decompressor.decompress(view[at + _HEAD.size + _NEXT.size : frame])
        times.append(np.cumsum(np.frombuffer(steps, "<i8")))
        at = frame + length
        parts.append(decompressor.decompress(view[frame:at]))
    return b"".join(parts), np.concatenate(times)


def _read_foreign(decompressor: zstandard.ZstdDecompressor, data: bytes) -> bytes:
    parts = []
    while data:
        frame = decompressor.decompressobj()  # a stream's reader would take a frame that is cut off for its end
        parts.append(frame.decompress(data))
        if not frame.eof:
            msg = "cut off"
            raise ValueError(msg)
        data = frame.unused_data
    return b"".join(parts)


def without_repeats(runs: Iterable[ArchivedRun]) -> Iterator[bytes]:
    """Yield each archived post exactly once, whatever was archived again after a restart."""
    seen: dict[tuple[str, int], int] = {}
    for run in sorted(runs, key=lambda run: (run.topic, run.partition, run.first_offset)):
        key = (run.topic, run.partition)
        known = seen.get(key, 0) - run.first_offset
        yield from run.values[max(known, 0) :]
        seen[key] = max(seen.get(key, 0), run.first_offset + len(run.values))


class _ArchiveFn(beam.DoFn):
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._shared = Shared()
        self._posts = Metrics.counter("ArchivePosts", "posts")
        self._bytes = Metrics.counter("ArchivePosts", "raw_bytes")

    def setup(self) -> None:
        self._archiver = self._shared.acquire(lambda: Archiver(self._prefix))

    def process(self, element: RawBatch) -> None:
        self._archiver.add(element)
        self._posts.inc(len(element.values))
        self._bytes.inc(sum(map(len, element.values)))

    def finish_bundle(self) -> None:
        self._archiver.flush()


@dataclass
class ArchivePosts(beam.PTransform):
    """Writes every post of ``RawBatch``es to the lake, before the bundle ends.

    Attributes:
        prefix: address of the archive, such as ``s3://bucket/raw``.
    """

    prefix: str

    def expand(self, batches: beam.PCollection[RawBatch]) -> beam.PCollection[None]:
        """Archive the posts of each bundle."""
        return batches | "Archive" >> beam.ParDo(_ArchiveFn(self.prefix))
