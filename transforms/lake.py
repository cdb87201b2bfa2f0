"""Objects of the data lake: in S3 (``s3://bucket/prefix``) or, for a look without a server, in a local folder.

A write is one atomic request and overwrites; that is all the idempotence that the pipelines need.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

_UNFINISHED = ".tmp."
"""What the name of a file that was not written to its end begins with; nanio, the local S3 server, lists its own if it was killed."""


def _s3() -> Any:
    return _client(os.environ.get("AWS_ENDPOINT_URL_S3"))


@lru_cache(maxsize=1)
def _client(endpoint: str | None) -> Any:  # noqa: ARG001 - another server, another client
    # Endpoint and credentials: the environment or AWS's default chain, at the first use; a session of its own, for
    # boto3's default one keeps what somebody else in the process first found. Clients are safe to share between threads.
    return boto3.Session().client("s3", config=Config(retries={"mode": "standard", "max_attempts": 8}))


def _split(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.netloc, parts.path.lstrip("/")


def put(url: str, data: bytes) -> None:
    """Write an object whole, in place of what was there."""
    if url.startswith("s3://"):
        bucket, key = _split(url)
        _s3().put_object(Bucket=bucket, Key=key, Body=data)
        return
    path = Path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_UNFINISHED, delete=False) as file:
        file.write(data)
    os.replace(file.name, path)  # noqa: PTH105 - a reader sees the old object or the new one


def get(url: str) -> bytes:
    """Read an object whole."""
    if url.startswith("s3://"):
        bucket, key = _split(url)
        data: bytes = _s3().get_object(Bucket=bucket, Key=key)["Body"].read()
        return data
    return Path(url).read_bytes()


def find(address: str) -> Iterator[str]:
    """Yield the addresses of the object at an address, if there is one, and of those below it, in the order of their names.

    What is beside it under a name that begins alike is not of them, in S3 as little as in a folder.
    """
    yield from (url for url in _listed(address) if not url.rpartition("/")[2].startswith(_UNFINISHED))


def _listed(address: str) -> Iterator[str]:
    if address.startswith("s3://"):
        bucket, key = _split(address)
        address = f"s3://{bucket}/{key}".rstrip("/")
        pages = _s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key.rstrip("/"))
        urls = (f"s3://{bucket}/{entry['Key']}" for page in pages for entry in page.get("Contents", ()))
        yield from (url for url in urls if url == address or url.startswith(f"{address}/"))  # S3 compares letters
        return
    paths = [Path(address), *sorted(Path(address).rglob("*"))]
    yield from (str(path) for path in paths if path.is_file())


def named_after(topic: str) -> str:
    """Return what stands for a topic in the names of objects; for a file its name."""
    return re.sub(r"[^\w.-]", "_", PurePosixPath(topic).name)


def remove(address: str) -> None:
    """Delete the object of an address and those below it, as `find` has them, with what was not written to its end."""
    for url in list(_listed(address)):
        if url.startswith("s3://"):
            bucket, key = _split(url)
            _s3().delete_object(Bucket=bucket, Key=key)
        else:
            Path(url).unlink()


def bucket_missing(url: str) -> bool:
    """Tell whether an ``s3://`` address names a bucket that does not exist; raises botocore's errors otherwise."""
    bucket, _ = _split(url)
    return is_missing(
        boto3.Session().client("s3", config=Config(retries={"max_attempts": 1}, connect_timeout=5)), bucket
    )


def is_missing(client: Any, bucket: str) -> bool:
    """Tell whether a client of S3 is told that a bucket does not exist; raises botocore's errors otherwise."""
    try:
        client.head_bucket(Bucket=bucket)
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
            return True
        raise
    return False
