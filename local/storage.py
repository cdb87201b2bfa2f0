"""S3: nanio, which keeps plain files, unless the lake is elsewhere; and the bucket of the lake, wherever it is."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.part import Launch, NotReadyError, Part, python
from local.settings import ROOT, S3_ENDPOINT, Address, Settings, StackError
from transforms import lake

_FIRST_REGION = "us-east-1"


def parts(settings: Settings) -> list[Part]:
    """Describe the S3 server, if the stack has one."""
    return [_part(settings, settings.s3)] if settings.s3 else []


def _part(settings: Settings, address: Address) -> Part:
    log = settings.log_dir / "s3.log"
    return Part(
        name="s3",
        title="S3",
        listens=[address],
        where=f"http://{address}",
        launch=lambda _: _launch(settings, address),
        check=lambda: _check(settings),
        log=log,
        output=log,
        order=1,
        inherits=True,
    )


def server_environment(settings: Settings) -> dict[str, str]:
    """The keys that the server accepts, under the names that it reads; nothing if the stack has no such server."""
    if settings.s3 is None:
        return {}
    return {
        "NANIO_ACCESS_KEY": settings.environment["AWS_ACCESS_KEY_ID"],
        "NANIO_SECRET_KEY": settings.environment["AWS_SECRET_ACCESS_KEY"],
        "NANIO_REGION": settings.environment["AWS_DEFAULT_REGION"],
    }


def create_bucket(settings: Settings) -> bool:
    """Create the bucket of the lake; tell if it was missing.

    Raises:
        StackError: S3 cannot be reached, or refuses.
    """
    client = _client(settings)
    region = settings.environment["AWS_DEFAULT_REGION"]
    # AWS wants each region named but its first.
    where = {} if region == _FIRST_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        if not lake.is_missing(client, settings.bucket):
            return False
        client.create_bucket(Bucket=settings.bucket, **where)
    except (BotoCoreError, ClientError) as error:
        message = f"the bucket {settings.bucket} (LAKE) can be neither found nor created: {error}"
        raise StackError(message) from None
    return True


def _launch(settings: Settings, address: Address) -> Launch:
    data = settings.place("s3")
    data.mkdir(parents=True, exist_ok=True)
    listen = ["--host", address.host, "--port", str(address.port)]
    return Launch([python(), "-m", "local.s3_server", str(data), *listen], directory=ROOT)


def _client(settings: Settings) -> Any:
    env = settings.environment
    # What is not given, boto3 finds as it does for the pipelines.
    return boto3.Session().client(
        "s3",
        endpoint_url=env.get(S3_ENDPOINT),
        aws_access_key_id=env.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=env.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=env.get("AWS_SESSION_TOKEN"),
        region_name=env["AWS_DEFAULT_REGION"],
        config=Config(connect_timeout=2, read_timeout=5, retries={"max_attempts": 0}),
    )


def _check(settings: Settings) -> str:
    try:
        buckets = _client(settings).list_buckets()["Buckets"]
    except (BotoCoreError, ClientError) as error:
        raise NotReadyError(str(error)) from None
    return f"{len(buckets)} bucket{'s' * (len(buckets) != 1)}"
