"""The S3 server after a kill: it takes every write again, and gives every object whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import s3_server, storage
from local.settings import Settings
from tests.conftest import kill, running


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    with running("test-s3", {"s3"}) as settings:
        yield settings


@pytest.mark.integration
def test_after_a_kill_between_object_and_metadata(server: Settings) -> None:
    s3, bucket = storage._client(server), server.bucket
    folder = server.place("s3") / bucket
    for name in ("grown", "untouched"):
        s3.put_object(Bucket=bucket, Key=f"raw/{name}", Body=b"short", ContentType="text/plain")
    # As nanio does it: the object comes in place of the old one, its metadata is begun.
    later = folder / "raw" / "new"
    later.write_bytes(b"long enough")
    later.replace(folder / "raw" / "grown")
    (folder / ".nanio-meta" / "raw" / "grown.json.tmp").write_bytes(b"{")
    (folder / "raw" / f".tmp.{'0a' * 16}").write_bytes(b"half")

    kill(server, "s3")
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
    for folder in (meta / "a.json.tmp", meta.parent / f".tmp.{'0a' * 16}", kept[0].parent / f".tmp.{'0a' * 16}"):
        folder.mkdir()  # of objects whose names have such a part
    assert s3_server.mend(tmp_path) == []
    half = meta / "b.json.tmp.json.tmp"
    half.write_bytes(b"")
    assert s3_server.mend(tmp_path) == [half]
    assert all(path.exists() for path in kept)
    assert not half.exists()
