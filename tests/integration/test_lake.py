"""The lake on the real S3 server: more objects than one page of a listing holds."""

from __future__ import annotations

import threading
from dataclasses import replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from unittest.mock import MagicMock

import boto3
import psycopg2
import pytest

from local import reset
from local.settings import Settings
from transforms import lake


@pytest.mark.integration
def test_many_objects_are_found_and_removed(stack: Settings) -> None:
    prefix = f"s3://{stack.bucket}/many"
    urls = [f"{prefix}/{i:05d}" for i in range(1_203)]
    for url in urls:
        lake.put(url, b"x")
    assert list(lake.find(f"{prefix}/")) == urls
    assert lake.get(urls[-1]) == b"x"
    lake.remove(prefix)
    assert list(lake.find(f"{prefix}/")) == []


@pytest.mark.integration
@pytest.mark.parametrize("end", ["", "/"])
def test_what_is_beside_what_is_removed_stays(stack: Settings, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    name = f"{stack.bucket}-beside{len(end)}"
    boto3.Session().client("s3").create_bucket(Bucket=name)
    monkeypatch.setattr(psycopg2, "connect", MagicMock())
    urls = [f"s3://{name}/{key}" for key in ("prod-2/1", "prod/1", "prod/2/3", "producers")]
    for url in urls:
        lake.put(url, b"x")
    assert list(lake.find(f"s3://{name}/prod{end}")) == urls[1:3]
    reset.empty_stores(replace(stack, environment={"LAKE": f"s3://{name}/prod{end}"}))
    assert list(lake.find(f"s3://{name}")) == [urls[0], urls[3]]
    reset.empty_stores(replace(stack, environment={"LAKE": f"s3://{name}{end}"}))
    assert list(lake.find(f"s3://{name}")) == []


@pytest.mark.integration
def test_what_a_killed_server_did_not_write_to_its_end_is_no_object(stack: Settings) -> None:
    prefix = f"s3://{stack.bucket}/unfinished"
    lake.put(f"{prefix}/whole", b"x")
    left = stack.stack_dir / "s3" / stack.bucket / "unfinished" / ".tmp.0123"
    left.write_bytes(b"x")
    assert list(lake.find(f"{prefix}/")) == [f"{prefix}/whole"]
    lake.remove(prefix)
    assert not left.exists()


@pytest.mark.integration
def test_a_missing_bucket_is_told_from_a_present_one(stack: Settings) -> None:
    assert not lake.bucket_missing(f"s3://{stack.bucket}/raw")
    assert lake.bucket_missing("s3://no-such-bucket-here/raw")


class _Empty(BaseHTTPRequestHandler):
    """An S3 server without buckets."""

    def do_HEAD(self) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)


@pytest.mark.integration
def test_the_server_is_the_one_that_the_environment_names_now(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not lake.bucket_missing(f"s3://{stack.bucket}")
    with HTTPServer(("127.0.0.1", 0), _Empty) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
        assert lake.bucket_missing(f"s3://{stack.bucket}")
