"""Lines of bytes from and to files: plain, gzip, zstd, standard streams, folders, S3."""

from __future__ import annotations

import errno
import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import zstandard

SUFFIXES = (
    ".ndjson",
    ".jsonl",
    ".json",
    ".ndjson.gz",
    ".jsonl.gz",
    ".json.gz",
    ".ndjson.zst",
    ".jsonl.zst",
    ".json.zst",
)
"""Names that are taken from a folder; a file named by itself may be called anything."""

MAX_LINE = 16 << 20
"""Bytes of a line that are read."""

_CHECK_S3 = "(check AWS_ENDPOINT_URL_S3 and the AWS credentials)"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"
"""What follows the first byte, 0x50 to 0x5F, of a zstd frame without content: the stream's archive begins with one."""
_BUFFER = 1 << 20


class SourceError(Exception):
    """A source that cannot be read or a file that cannot be written; the message names it."""


def read_lines(sources: Sequence[str]) -> Iterator[bytes]:
    """Yield the lines of all sources, as ``Lines`` does."""
    yield from Lines(sources)


class Source(NamedTuple):
    """A file, an object in S3 or standard input.

    Attributes:
        name: path, ``s3://bucket/key`` or ``-``.
        size: bytes as stored; ``None`` where nobody knows.
    """

    name: str
    size: int | None


class Lines:
    """The lines of all sources, one after the other, without line ends; empty lines are left out.

    It may be iterated several times, unless standard input is among its sources. Files are streamed: memory holds a
    buffer and one line. A line of more than ``MAX_LINE`` bytes is cut off there, so that a file that is no ndjson
    cannot fill the memory.

    Args:
        sources: files, folders (searched through, in the order of names), ``s3://bucket/key``, ``s3://bucket/prefix``,
            ``-`` for standard input. Compression is told from the content, not from the name.

    Raises:
        SourceError: when made: a source is missing; when iterated: one is unreadable or damaged.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self.sources = [found for source in sources for found in _find(source)]
        self._raw: IO[bytes] | None = None
        self._current = 0

    @property
    def repeatable(self) -> bool:
        """Whether a second iteration gives the same lines."""
        return all(source.name != "-" for source in self.sources)

    def position(self) -> str:
        """Where the iteration is, for a person: ``42% of 3 files``, or the name where sizes are not known."""
        name = self.sources[self._current].name
        which = name if len(self.sources) == 1 else f"{len(self.sources)} files"
        sizes = [source.size for source in self.sources]
        if self._raw is None or None in sizes:
            number = "" if len(self.sources) == 1 else f" ({self._current + 1} of {len(self.sources)})"
            return f"at {name}{number}"
        total = sum(size or 0 for size in sizes)
        done = sum(size or 0 for size in sizes[: self._current]) + self._raw.tell()
        return f"{100 * done / max(total, 1):.0f}% of {which}"

    def __iter__(self) -> Iterator[bytes]:
        for number, source in enumerate(self.sources):
            self._current = number
            try:
                with _open(source.name) as self._raw:
                    yield from _lines(self._raw)
            except (OSError, EOFError, zlib.error, zstandard.ZstdError, botocore.exceptions.BotoCoreError) as error:
                msg = f"cannot read {source.name}: {_reason(error)}"
                raise SourceError(msg) from None
            except botocore.exceptions.ClientError as error:
                msg = f"cannot read {source.name}: {_reason(error)} {_CHECK_S3}"
                raise SourceError(msg) from None
            finally:
                self._raw = None


@contextmanager
def open_output(name: str) -> Iterator[IO[bytes]]:
    """Open a file for writing, compressed as its name says (``.gz``, ``.zst``); ``-`` is standard output.

    Raises:
        SourceError: the file cannot be opened.
    """
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb", buffering=_BUFFER)
    except OSError as error:
        msg = f"cannot write {name}: {_reason(error)}"
        raise SourceError(msg) from None
    with file:
        if name.endswith(".gz"):
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0, filename="") as zipped:
                yield cast("IO[bytes]", zipped)
        elif name.endswith(".zst"):
            with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as stream:
                yield cast("IO[bytes]", stream)
        else:
            yield file


def _find(source: str) -> Iterator[Source]:
    if source == "-":
        yield Source(source, None)
        return
    if source.startswith("s3://"):
        yield from _objects(source)
        return
    path = Path(source)
    if not path.exists():
        msg = f"cannot read {source}: {os.strerror(errno.ENOENT)}"
        raise SourceError(msg)
    if not path.is_dir():
        # A pipe or device has no size.
        yield Source(source, path.stat().st_size if path.is_file() else None)
        return
    found = sorted(each for each in path.rglob("*") if each.name.endswith(SUFFIXES) and each.is_file())
    if not found:
        msg = f"the folder {source} has no file that ends in {', '.join(SUFFIXES)}"
        raise SourceError(msg)
    for each in found:
        yield Source(str(each), each.stat().st_size)


def _objects(source: str) -> Iterator[Source]:
    bucket, prefix = _bucket_and_key(source)
    try:
        pages = _s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found: dict[str, int] = {}
        for page in pages:
            found |= {entry["Key"]: entry["Size"] for entry in page.get("Contents", ())}
            if prefix in found:  # the object itself: names are listed in order, so that it comes first
                yield Source(source, found[prefix])
                return
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        msg = f"cannot list {source}: {_reason(error)} {_CHECK_S3}"
        raise SourceError(msg) from None
    below = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    keys = sorted(key for key in found if key.startswith(below) and key.endswith(SUFFIXES))
    if not keys:
        msg = f"{source} is no object, and below it is none that ends in {', '.join(SUFFIXES)}"
        raise SourceError(msg)
    for key in keys:
        yield Source(f"s3://{bucket}/{key}", found[key])


@contextmanager
def _open(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
    elif name.startswith("s3://"):
        bucket, key = _bucket_and_key(name)
        body = _s3().get_object(Bucket=bucket, Key=key)["Body"]
        with body:
            yield cast("IO[bytes]", io.BufferedReader(body, _BUFFER))
    else:
        with Path(name).open("rb", buffering=_BUFFER) as file:
            yield file


def _s3() -> Any:
    # A session of its own: boto3's default one keeps the credentials that somebody else in the process first found.
    return boto3.Session().client("s3")


def _bucket_and_key(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.netloc, parts.path.lstrip("/")


def _lines(raw: IO[bytes]) -> Iterator[bytes]:
    head = cast("io.BufferedReader", raw).peek(4)[:4]
    stream: IO[bytes] = raw
    if head.startswith(_GZIP):
        stream = cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb"))
    elif head == _ZSTD or (head[1:] == _SKIPPABLE and head[0] >> 4 == 5):
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(
            raw, read_across_frames=True, closefd=False
        )
        stream = cast("IO[bytes]", io.BufferedReader(cast("io.RawIOBase", reader), _BUFFER))
    whole = True
    while line := stream.readline(MAX_LINE):
        begins, whole = whole, line.endswith(b"\n") or len(line) < MAX_LINE
        if begins and (content := line.rstrip(b"\r\n")):
            yield content


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
