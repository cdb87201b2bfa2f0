"""The lake that a pipeline works on: its address, and a check that it is there."""

from __future__ import annotations

import os

from botocore.exceptions import BotoCoreError, ClientError

from programs.errors import UserError
from transforms import lake


def lake_address(given: str, default: str | None = None) -> str:
    """Return the lake's address: as given, else the default, else that of ``LAKE``."""
    return (given or default or os.environ.get("LAKE", "s3://tiktok-lake")).rstrip("/")


def check_lake(address: str) -> None:
    """See that a lake is there; a folder always is.

    Raises:
        UserError: S3 does not answer, or the bucket does not exist.
    """
    if not address.startswith("s3://"):
        return
    try:
        missing = lake.bucket_missing(address)
    except (BotoCoreError, ClientError) as error:
        msg = f"no S3 at {os.environ.get('AWS_ENDPOINT_URL_S3', 'AWS')} ({error}): start it with `make up`, or see .env"
        raise UserError(msg) from None
    if missing:
        msg = f"the bucket of {address} does not exist: `make up` creates that of LAKE; or name another with --lake"
        raise UserError(msg)
