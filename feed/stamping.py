"""The event time of a post: read, chosen, and written into its JSON without touching any other byte."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from time import time as now
from typing import Any, NamedTuple

import msgspec

from transforms.post_id import is_post_id

MAX_POST_BYTES = 1_000_000
"""A broker's ``message.max.bytes`` is 1,048,588 by default, with some bytes for the record's own head."""

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


class Reason(StrEnum):
    """Why a line is no usable post; where the stream has the same reason for a dead letter, it has the same name."""

    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    BAD_ID = "bad_id"
    BAD_TIME_STAMP = "bad_time_stamp"
    BAD_CREATE_TIME = "bad_create_time"
    TOO_LARGE = "too_large"


class UnreadableError(ValueError):
    """A line that is no usable post; the message says why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Stamped(NamedTuple):
    """A post ready to be sent.

    Attributes:
        post_id: ``itemInfos.id``.
        time_stamp: event time, epoch seconds.
        happened: the time that the source gives it, epoch seconds; what a replay is paced by. 0 if it gives none.
        value: its JSON, with that ``time_stamp``.
    """

    post_id: str
    time_stamp: float
    happened: float
    value: bytes


class _Item(msgspec.Struct, gc=False):
    id: str | int
    create_time: Any = msgspec.field(name="createTime", default=None)


class _Head(msgspec.Struct, gc=False):
    item: _Item = msgspec.field(name="itemInfos")
    time_stamp: Any = None


_decode = msgspec.json.Decoder(_Head).decode
_decode_anything = msgspec.json.Decoder().decode


@dataclass
class Stamper:
    """Gives posts their event time.

    Attributes:
        source: where it comes from.
        shift: for ``SHIFT``: seconds that are added to a post's ``time_stamp``, or to its ``createTime`` if it has none.
        clock: what ``NOW`` is, epoch seconds.
    """

    source: Time = Time.KEEP
    shift: float = 0.0
    clock: Callable[[], float] = now

    def stamp(self, line: bytes) -> Stamped:
        """Read a line and give it its event time.

        Raises:
            UnreadableError: not JSON, not UTF-8, too large, no usable ``itemInfos.id``, or no event time.
        """
        head = _read(line)
        post_id = _post_id(head.item.id)
        match self.source:
            case Time.KEEP:
                seconds = _seconds(head.time_stamp, Reason.BAD_TIME_STAMP)
                return Stamped(post_id, seconds, seconds, line)
            case Time.NOW:
                happened, seconds = _happened(head, default=0.0), self.clock()
            case Time.CREATE_TIME:
                happened = seconds = _seconds(head.item.create_time, Reason.BAD_CREATE_TIME)
            case Time.SHIFT:
                happened = _happened(head)
                seconds = _seconds(happened + self.shift, Reason.BAD_TIME_STAMP)
        seconds = round(seconds, 3)
        return Stamped(post_id, seconds, happened, with_time_stamp(line, seconds))

    def renewed(self, post: Stamped) -> Stamped:
        """Return a post with the time of now as its event time."""
        seconds = round(self.clock(), 3)
        return post._replace(time_stamp=seconds, value=with_time_stamp(post.value, seconds))


def latest(lines: Iterable[bytes]) -> float | None:
    """Return the last time of the posts, by ``time_stamp`` or else ``createTime``; ``None`` if no line has one."""
    times = (time for line in lines if (time := _time_of(line)) is not None)
    return max(times, default=None)


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


def _time_of(line: bytes) -> float | None:
    try:
        return _happened(_read(line))
    except UnreadableError:
        return None


def _happened(head: _Head, default: float | None = None) -> float:
    """Return the post's own time; ``default``, if it is given, where there is none."""
    try:
        if head.time_stamp is None:
            return _seconds(head.item.create_time, Reason.BAD_CREATE_TIME)
        return _seconds(head.time_stamp, Reason.BAD_TIME_STAMP)
    except UnreadableError:
        if default is None:
            raise
        return default


def _read(line: bytes) -> _Head:
    if len(line) > MAX_POST_BYTES:
        raise UnreadableError(Reason.TOO_LARGE, f"more than {MAX_POST_BYTES:,} bytes")
    try:
        if not line.isascii():
            line.decode()  # the decoder looks only at the texts that it keeps
        return _decode(line)
    except UnicodeDecodeError as error:
        raise UnreadableError(Reason.NOT_UTF8, str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableError(_why(line), str(error)) from None


def _why(line: bytes) -> Reason:
    """Tell why a line was not decoded: a decoder of certain fields stops at the first that does not fit."""
    try:
        tree = _decode_anything(line)
    except (msgspec.DecodeError, RecursionError):
        return Reason.NOT_JSON
    return Reason.BAD_ID if isinstance(tree, dict) else Reason.NOT_AN_OBJECT


def _post_id(value: str | int) -> str:
    text = str(value)
    if not is_post_id(text):
        raise UnreadableError(Reason.BAD_ID, f"itemInfos.id is not a positive 63-bit number: {text[:40]!r}")
    return text


def _seconds(value: Any, reason: Reason) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    # Year 9999: what lies beyond is noise, and no record timestamp.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 253_402_300_800:
        found = "missing" if value is None else f"{str(value)[:40]!r}"
        raise UnreadableError(reason, f"not a positive number of seconds: {found}")
    return float(value)
