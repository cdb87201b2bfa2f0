"""S3: nanio, which keeps plain files, and the bucket of the data lake."""

from __future__ import annotations

import sys
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.part import Launch, NotReadyError, Part
from local.settings import Settings


def part(settings: Settings) -> Part:
    """Describe the S3 server."""
    log = settings.log_dir / "s3.log"
    return Part(
        name="s3",
        title="S3",
        listens=[settings.s3],
        where=f"http://{settings.s3}",
        launch=lambda _: _launch(settings),
        check=lambda: _check(settings),
        log=log,
        output=log,
        order=1,
        inherits=True,
    )


def server_environment(settings: Settings) -> dict[str, str]:
    """The keys that the server accepts, under the names that it reads."""
    return {
        "NANIO_ACCESS_KEY": settings.environment["AWS_ACCESS_KEY_ID"],
        "NANIO_SECRET_KEY": settings.environment["AWS_SECRET_ACCESS_KEY"],
        "NANIO_REGION": settings.environment["AWS_DEFAULT_REGION"],
    }


def create_bucket(settings: Settings) -> bool:
    """Create the bucket of the lake; tell if it was missing."""
    client = _client(settings)
    if settings.bucket in _buckets(client):
        return False
    client.create_bucket(Bucket=settings.bucket)
    return True


def _launch(settings: Settings) -> Launch:
    data = settings.stack_dir / "s3"
    data.mkdir(parents=True, exist_ok=True)
    address = ["--host", settings.s3.host, "--port", str(settings.s3.port)]
    return Launch([sys.executable, "-m", "nanio", "serve", *address, "--data-dir", str(data), "--no-access-log"])


def _client(settings: Settings) -> Any:
    env = settings.environment
    return boto3.client(
        "s3",
        endpoint_url=f"http://{settings.s3}",
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_DEFAULT_REGION"],
        config=Config(connect_timeout=2, read_timeout=5, retries={"max_attempts": 0}),
    )


def _buckets(client: Any) -> list[str]:
    return [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


def _check(settings: Settings) -> str:
    try:
        buckets = _buckets(_client(settings))
    except (BotoCoreError, ClientError) as error:
        raise NotReadyError(str(error)) from None
    return f"{len(buckets)} bucket{'s' * (len(buckets) != 1)}"
