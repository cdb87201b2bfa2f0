"""Dead letters: records that could not be read, with their reason, position and exact bytes."""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import NamedTuple

import msgspec

MAX_MESSAGE = 1_000_000
"""Bytes of a dead letter in a topic; brokers and producers refuse a little more than a megabyte unless they are told otherwise."""


class Reason(StrEnum):
    """Why a record could not be used; a label of metrics and tables, so names are stable."""

    EMPTY = "empty"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    BAD_ID = "bad_id"
    BAD_TIME_STAMP = "bad_time_stamp"
    FUTURE_TIME_STAMP = "future_time_stamp"


class DeadLetter(NamedTuple):
    """A record that could not be used.

    Attributes:
        reason: why.
        detail: what was wrong, for a person.
        topic: Kafka topic or file that it came from.
        partition: Kafka partition; 0 for a file.
        offset: offset in the partition; line number in a file.
        timestamp_ms: the source's own timestamp of the record, milliseconds since the epoch.
        raw: the exact bytes.
    """

    reason: Reason
    detail: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    raw: bytes

    @property
    def key(self) -> str:
        """Where it came from; the same after a replay, so consumers can tell a repeat."""
        return f"{self.topic}-{self.partition}-{self.offset}"

    def to_json(self) -> bytes:
        """Return one line of JSON; the bytes are in ``raw`` where they are UTF-8, else in ``raw_base64``."""
        fields: dict[str, object] = self._asdict()
        try:
            fields["raw"] = self.raw.decode()
        except UnicodeDecodeError:
            del fields["raw"]
            fields["raw_base64"] = base64.b64encode(self.raw).decode()
        return msgspec.json.encode(fields)

    def to_message(self) -> bytes:
        """Return it as for a topic: like ``to_json``, but ``raw_bytes``, their number, where the bytes make it too large.

        In JSON a record takes up to six times its room.
        """
        message = self.to_json()
        if len(message) <= MAX_MESSAGE:
            return message
        fields: dict[str, object] = self._asdict()
        del fields["raw"]
        return msgspec.json.encode({**fields, "raw_bytes": len(self.raw)})
