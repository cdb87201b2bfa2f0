"""The S3 server after a kill: it takes every write again, and gives every object whole."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local import s3_server, stack
from local.settings import Settings
from tests.conftest import running


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    with running("test-s3", {"s3"}) as settings:
        yield settings


def _client(settings: Settings) -> Any:
    env = settings.environment
    return boto3.Session().client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_DEFAULT_REGION"],
        config=Config(retries={"max_attempts": 0}),
    )


def _restart(settings: Settings) -> None:
    """Kill it, and wait until its supervisor has started it again."""

    def now() -> stack.Health:
        return next(report for report in stack.health(settings) if report.part.name == "s3")

    before = now().process
    assert before
    os.kill(before.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not ((report := now()).well and report.process and report.process.pid != before.pid):
        assert time.monotonic() < deadline, report.answer
        time.sleep(0.2)


@pytest.mark.integration
def test_after_a_kill_between_object_and_metadata(server: Settings) -> None:
    s3, bucket = _client(server), server.bucket
    folder = server.place("s3") / bucket
    for name in ("grown", "untouched"):
        s3.put_object(Bucket=bucket, Key=f"raw/{name}", Body=b"short", ContentType="text/plain")
    # As nanio does it: the object comes in place of the old one, its metadata is begun.
    later = folder / "raw" / "new"
    later.write_bytes(b"long enough")
    later.replace(folder / "raw" / "grown")
    (folder / ".nanio-meta" / "raw" / "grown.json.tmp").write_bytes(b"{")
    (folder / "raw" / f".tmp.{'0a' * 16}").write_bytes(b"half")

    _restart(server)
    assert s3.get_object(Bucket=bucket, Key="raw/grown")["Body"].read() == b"long enough"
    told = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [(entry["Key"], entry["Size"]) for entry in told] == [("raw/grown", 11), ("raw/untouched", 5)]
    s3.put_object(Bucket=bucket, Key="raw/grown", Body=b"longer again")
    assert s3.get_object(Bucket=bucket, Key="raw/grown")["Body"].read() == b"longer again"
    assert s3.head_object(Bucket=bucket, Key="raw/untouched")["ContentType"] == "text/plain"


def test_what_is_in_order_stays(tmp_path: Path) -> None:
    meta = tmp_path / "bucket" / ".nanio-meta" / "raw"
    meta.mkdir(parents=True)
    kept = [tmp_path / "bucket" / "raw" / name for name in ("a", "b.json.tmp", ".tmp.mine")]
    kept[0].parent.mkdir()
    kept += [meta / "a.json", meta / "b.json.tmp.json", meta / "alone.json"]  # each after what it describes
    for at, path in enumerate(kept):
        path.write_bytes(b"{}")
        os.utime(path, ns=(at, at))
    assert s3_server.mend(tmp_path) == []
    half = meta / "b.json.tmp.json.tmp"
    half.write_bytes(b"")
    assert s3_server.mend(tmp_path) == [half]
    assert all(path.exists() for path in kept)
    assert not half.exists()
