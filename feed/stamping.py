"""The event time of a post: read, chosen, and written into its JSON without touching any other byte."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from time import time as now
from typing import Any, NamedTuple

import msgspec

MAX_POST_ID = 2**63 - 1

_LAST_MEMBER = re.compile(rb',\s*"time_stamp"\s*:\s*(null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*\}\s*\Z')
_LAST_MEMBER_REACH = 80
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],]', re.DOTALL)
_COLON = re.compile(rb"\s*:\s*")


class Time(StrEnum):
    """Where a post's event time comes from."""

    KEEP = "keep"
    NOW = "now"
    CREATE_TIME = "create_time"
    SHIFT = "shift"


class UnreadableError(ValueError):
    """A line that is no usable post; the message says why."""


class Stamped(NamedTuple):
    """A post ready to be sent.

    Attributes:
        post_id: ``itemInfos.id``.
        time_stamp: event time, epoch seconds.
        value: its JSON, with that ``time_stamp``.
    """

    post_id: str
    time_stamp: float
    value: bytes


class _Item(msgspec.Struct, gc=False):
    id: str | int
    create_time: Any = msgspec.field(name="createTime", default=None)


class _Head(msgspec.Struct, gc=False):
    item: _Item = msgspec.field(name="itemInfos")
    time_stamp: Any = None


_decode = msgspec.json.Decoder(_Head).decode


@dataclass
class Stamper:
    """Gives posts their event time.

    Attributes:
        source: where it comes from. ``SHIFT`` moves all posts by the same time, so that the first one, by ``time_stamp``
            or else by ``createTime``, falls on ``shift_to``.
        shift_to: for ``SHIFT``; now by default.
        clock: what ``NOW`` is, epoch seconds.
    """

    source: Time = Time.KEEP
    shift_to: datetime | None = None
    clock: Callable[[], float] = now
    _shift: float | None = field(default=None, init=False)

    def stamp(self, line: bytes) -> Stamped:
        """Read a line and give it its event time.

        Raises:
            UnreadableError: not JSON, not UTF-8, no usable ``itemInfos.id``, or no event time.
        """
        head = _read(line)
        post_id = _post_id(head.item.id)
        match self.source:
            case Time.KEEP:
                return Stamped(post_id, _seconds(head.time_stamp, "time_stamp"), line)
            case Time.NOW:
                seconds = self.clock()
            case Time.CREATE_TIME:
                seconds = _seconds(head.item.create_time, "itemInfos.createTime")
            case Time.SHIFT:
                if head.time_stamp is None:
                    seconds = _seconds(head.item.create_time, "neither time_stamp nor itemInfos.createTime")
                else:
                    seconds = _seconds(head.time_stamp, "time_stamp")
                if self._shift is None:
                    self._shift = (self.shift_to.timestamp() if self.shift_to else self.clock()) - seconds
                seconds += self._shift
        seconds = round(seconds, 3)
        return Stamped(post_id, seconds, with_time_stamp(line, seconds))


def with_time_stamp(post: bytes, seconds: float) -> bytes:
    """Return a JSON object with the top-level member ``time_stamp`` set; all other bytes are as they were."""
    value = b"%.3f" % seconds
    if last := _LAST_MEMBER.search(post, max(0, len(post) - _LAST_MEMBER_REACH)):
        return post[: last.start(1)] + value + post[last.end(1) :]
    if b"time" in post and (span := _find_time_stamp(post)):
        return post[: span[0]] + value + post[span[1] :]
    end = post.rindex(b"}")
    separator = b"" if post[:end].rstrip().endswith(b"{") else b","
    return post[:end] + separator + b'"time_stamp":' + value + post[end:]


def _find_time_stamp(post: bytes) -> tuple[int, int] | None:
    """Return where the value of the last top-level ``time_stamp`` lies: of equal names, readers take the last."""
    depth = 0
    start: int | None = None
    found: tuple[int, int] | None = None
    expects_name = False
    for token in _TOKENS.finditer(post):
        text = token.group()
        if depth == 1 and start is not None and text in (b",", b"}"):
            found = (start, start + len(post[start : token.start()].rstrip()))
            start = None
        if text in (b"{", b"["):
            depth += 1
            expects_name = depth == 1
        elif text in (b"}", b"]"):
            depth -= 1
        elif text == b",":
            expects_name = depth == 1
        elif depth == 1 and expects_name:
            expects_name = False
            # A name may be written with escapes.
            if text == b'"time_stamp"' or (b"\\" in text and msgspec.json.decode(text) == "time_stamp"):
                colon = _COLON.match(post, token.end())
                start = colon.end() if colon else None
    return found


def _read(line: bytes) -> _Head:
    try:
        if not line.isascii():
            line.decode()  # the decoder looks only at the texts that it keeps
        return _decode(line)
    except UnicodeDecodeError as error:
        msg = f"not UTF-8: {error}"
        raise UnreadableError(msg) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableError(str(error)) from None


def _post_id(value: str | int) -> str:
    text = str(value)
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) <= MAX_POST_ID):
        msg = f"itemInfos.id is not a positive 63-bit number: {text[:40]!r}"
        raise UnreadableError(msg)
    return text


def _seconds(value: Any, name: str) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    # Year 9999: what lies beyond is noise, and no record timestamp.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 253_402_300_800:
        found = "missing" if value is None else f"{str(value)[:40]!r}"
        msg = f"{name} is not a positive number of seconds: {found}"
        raise UnreadableError(msg)
    return float(value)
