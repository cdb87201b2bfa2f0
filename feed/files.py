"""Lines of bytes from and to files: plain, gzip, zstd, standard streams, folders, S3."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast
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

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BUFFER = 1 << 20


class SourceError(Exception):
    """A source that cannot be read or a file that cannot be written; the message names it."""


def read_lines(sources: Sequence[str]) -> Iterator[bytes]:
    """Yield the lines of all sources, one after the other, without line ends; empty lines are left out.

    Args:
        sources: files, folders (searched through, in the order of names), ``s3://bucket/key`` or ``s3://bucket/prefix/``,
            ``-`` for standard input. Compression is told from the content, not from the name.

    Raises:
        SourceError: a source is missing, unreadable or damaged.
    """
    for source in sources:
        for name in _expand(source):
            try:
                with _open(name) as raw:
                    yield from _lines(raw)
            except (OSError, EOFError, zstandard.ZstdError, botocore.exceptions.BotoCoreError) as error:
                msg = f"cannot read {name}: {_reason(error)}"
                raise SourceError(msg) from None
            except botocore.exceptions.ClientError as error:
                msg = f"cannot read {name}: {_reason(error)} (check AWS_ENDPOINT_URL_S3 and the AWS credentials)"
                raise SourceError(msg) from None


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


def _expand(source: str) -> Iterator[str]:
    if source.startswith("s3://"):
        yield from _objects(source)
        return
    path = Path(source)
    if source == "-" or not path.is_dir():
        yield source
        return
    found = sorted(str(each) for each in path.rglob("*") if each.name.endswith(SUFFIXES) and each.is_file())
    if not found:
        msg = f"the folder {source} has no file that ends in {', '.join(SUFFIXES)}"
        raise SourceError(msg)
    yield from found


def _objects(source: str) -> Iterator[str]:
    if not source.endswith("/") and urlsplit(source).path:
        yield source
        return
    bucket, prefix = _bucket_and_key(source)
    try:
        pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        msg = f"cannot list {source}: {_reason(error)} (check AWS_ENDPOINT_URL_S3 and the AWS credentials)"
        raise SourceError(msg) from None
    names = [f"s3://{bucket}/{key}" for key in keys if key.endswith(SUFFIXES)]
    if not names:
        msg = f"{source} has no object that ends in {', '.join(SUFFIXES)}"
        raise SourceError(msg)
    yield from names


@contextmanager
def _open(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
    elif name.startswith("s3://"):
        bucket, key = _bucket_and_key(name)
        body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
        with body:
            yield cast("IO[bytes]", io.BufferedReader(body, _BUFFER))
    else:
        with Path(name).open("rb", buffering=_BUFFER) as file:
            yield file


def _bucket_and_key(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.netloc, parts.path.lstrip("/")


def _lines(raw: IO[bytes]) -> Iterator[bytes]:
    head = cast("io.BufferedReader", raw).peek(4)[:4]
    stream: IO[bytes] = raw
    if head.startswith(_GZIP):
        stream = cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb"))
    elif head == _ZSTD:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(
            raw, read_across_frames=True, closefd=False
        )
        stream = cast("IO[bytes]", io.BufferedReader(cast("io.RawIOBase", reader), _BUFFER))
    for line in stream:
        if content := line.rstrip(b"\r\n"):
            yield content


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
