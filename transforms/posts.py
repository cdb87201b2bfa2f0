"""Decoding: from raw bytes to a typed post, or to a dead letter with its reason.

Only ``itemInfos.id`` and ``time_stamp`` are required. Any other field may be missing, null or of the wrong type in real
data; it is then taken as missing. A post is first decoded strictly, in one pass; only one that does not fit is decoded
again field by field.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from detection.counts import WINDOW_SECONDS
from transforms.dead_letters import Reason
from transforms.post_id import is_post_id

FUTURE_TOLERANCE_SECONDS = WINDOW_SECONDS
"""How far a post's ``time_stamp`` may lie ahead of the source's own timestamp: further, and its window could stay open
for years."""

NEVER_AHEAD_MS = 2**52
"""Stands in for a record's timestamp that is not known: no post is judged to lie ahead of it."""

LAST_SECOND = 253_402_300_799
"""End of the year 9999, epoch seconds: a later time has no date."""

MAX_COUNT = 2**32 - 1
"""Larger counts are noise, as are those below its negative; all posts of a day can have it before a 64-bit sum is full."""

Count = Annotated[int, msgspec.Meta(ge=-MAX_COUNT, le=MAX_COUNT)]


class Author(Struct, rename="camel", gc=False):
    """``authorInfos``, as far as it is used."""

    user_id: str | None = None
    unique_id: str | None = None
    nick_name: str | None = None


class Challenge(Struct, rename="camel", gc=False):
    """One of ``challengeInfoList``."""

    challenge_id: str | None = None
    challenge_name: str | None = None


class Music(Struct, rename="camel", gc=False):
    """``musicInfos``, as far as it is used."""

    music_id: str | None = None
    music_name: str | None = None
    author_name: str | None = None


class CountedItem(Struct, rename="camel", gc=False):
    """``itemInfos``, as far as counting uses it."""

    id: str
    text: str | None = None
    comment_count: Count | None = None
    digg_count: Count | None = None
    share_count: Count | None = None


class Item(CountedItem, rename="camel", gc=False):
    """``itemInfos``, as far as it is used."""

    create_time: str | None = None
    author_id: str | None = None
    music_id: str | None = None


class CountedPost(Struct, gc=False):
    """What counting needs of a TikTok post, in the nesting of its JSON: the rest of it costs a third of the decoding.

    Attributes:
        item: what was posted.
        time_stamp: event time, epoch seconds; injected by the producer.
    """

    item: CountedItem = msgspec.field(name="itemInfos")
    time_stamp: float

    @property
    def post_id(self) -> int:
        """The post's id as a number; TikTok's ids are 63-bit."""
        return int(self.item.id)

    @property
    def engagement(self) -> int:
        """Comments, likes (diggs) and shares together."""
        item = self.item
        return (item.comment_count or 0) + (item.digg_count or 0) + (item.share_count or 0)

    @property
    def window_start(self) -> int:
        """Start of the window that the post falls in, epoch seconds."""
        seconds = int(self.time_stamp)
        return seconds - seconds % WINDOW_SECONDS


class Post(CountedPost, gc=False):
    """One TikTok post.

    Attributes:
        item: as in ``CountedPost``, with more of it.
        author: who posted it.
        challenges: the challenges that it takes part in.
        music: its sound.
    """

    item: Item = msgspec.field(name="itemInfos")
    time_stamp: float
    author: Author | None = msgspec.field(name="authorInfos", default=None)
    challenges: list[Challenge] | None = msgspec.field(name="challengeInfoList", default=None)
    music: Music | None = msgspec.field(name="musicInfos", default=None)


class Rejected(Exception):  # noqa: N818 - not an error of the program: it never leaves this module
    """A post that cannot be used; carries the dead letter's reason and detail."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


decode_strictly = msgspec.json.Decoder(CountedPost).decode
"""Decodes a record in which every field has its type; raises one of ``UNREADABLE`` at any other."""

_decode_whole_post = msgspec.json.Decoder(Post).decode
_decode_anything = msgspec.json.Decoder().decode

MAX_DIGITS = 4_300
"""Of an integer that Python reads."""


def decode_counted(raw: bytes, timestamp_ms: int) -> CountedPost:
    """Decode of one post what counting needs.

    Args:
        raw: the JSON as it came.
        timestamp_ms: the source's own timestamp of the record, milliseconds.

    Raises:
        Rejected: the post cannot be used; it says why.
    """
    try:
        post = decode_strictly(raw)
    except UNREADABLE:
        post = decode_leniently(raw)
    check(post, timestamp_ms)
    return post


def decode_post(raw: bytes, timestamp_ms: int) -> Post:
    """Decode one post, with all that is known of it. It takes and rejects the same posts as ``decode_counted``.

    Args:
        raw: the JSON as it came.
        timestamp_ms: the source's own timestamp of the record, milliseconds.

    Raises:
        Rejected: the post cannot be used; it says why.
    """
    try:
        post = _decode_whole_post(raw)
    except UNREADABLE:
        try:
            post = decode_leniently(raw)
        except Rejected:
            # Text that is no UTF-8, where counting does not look: the post counts without it.
            try:
                counted = decode_strictly(raw)
            except UNREADABLE:
                counted = None
            if counted is None:
                raise
            post = Post(Item(**msgspec.structs.asdict(counted.item)), counted.time_stamp)
    check(post, timestamp_ms)
    return post


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def check(post: CountedPost, timestamp_ms: int) -> None:
    """Check what every post must have.

    Raises:
        Rejected: the post cannot be used; it says why.
    """
    if not is_post_id(post.item.id):
        raise Rejected(Reason.BAD_ID, f"itemInfos.id is not a positive 63-bit number: {post.item.id[:40]!r}")
    ahead = post.time_stamp - timestamp_ms / 1000
    if not post.time_stamp > 0:
        raise Rejected(Reason.BAD_TIME_STAMP, f"time_stamp is not a positive number of seconds: {post.time_stamp}")
    if ahead > FUTURE_TOLERANCE_SECONDS:
        raise Rejected(Reason.FUTURE_TIME_STAMP, f"time_stamp lies {ahead:.12g} s ahead of the record's own timestamp")
    if post.time_stamp > LAST_SECOND:
        raise Rejected(
            Reason.BAD_TIME_STAMP, f"time_stamp lies beyond the year 9999; is it in seconds? {post.time_stamp}"
        )


def decode_leniently(raw: bytes) -> Post:
    """Decode a record field by field; a field of the wrong type is taken as missing.

    Raises:
        Rejected: the record cannot be used; it says why.
    """
    if not raw:
        raise Rejected(Reason.EMPTY, "the record has no value")
    try:
        tree = _decode_tree(raw)
    except UnicodeDecodeError as error:
        raise Rejected(Reason.NOT_UTF8, str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        reason = Reason.NOT_JSON if _is_utf8(raw) else Reason.NOT_UTF8
        raise Rejected(reason, str(error)) from None
    if not isinstance(tree, dict):
        raise Rejected(Reason.NOT_AN_OBJECT, f"the JSON is of type {type(tree).__name__}")
    item = _object(tree, "itemInfos")
    post_id = item.get("id")
    if isinstance(post_id, int) and not isinstance(post_id, bool):
        post_id = str(post_id)
    if not isinstance(post_id, str):
        raise Rejected(
            Reason.BAD_ID, f"itemInfos.id is {'missing' if post_id is None else 'of type ' + type(post_id).__name__}"
        )
    challenges = tree.get("challengeInfoList")
    return Post(
        Item(
            post_id,
            text=_text(item, "text"),
            create_time=_text(item, "createTime"),
            author_id=_text(item, "authorId"),
            music_id=_text(item, "musicId"),
            comment_count=_count(item, "commentCount"),
            digg_count=_count(item, "diggCount"),
            share_count=_count(item, "shareCount"),
        ),
        _time_stamp(tree),
        author=_author(_object(tree, "authorInfos")),
        challenges=[
            Challenge(_text(challenge, "challengeId"), _text(challenge, "challengeName"))
            for challenge in (challenges if isinstance(challenges, list) else ())
            if isinstance(challenge, dict)
        ],
        music=_music(_object(tree, "musicInfos")),
    )


def _decode_tree(raw: bytes) -> Any:
    """Decode any JSON; a number that is too large to be read is null, as if it were missing."""
    try:
        return _decode_anything(raw)
    except msgspec.DecodeError as error:
        if "out of range" not in str(error):
            raise
        try:
            tree = json.loads(raw.decode(), parse_float=_float, parse_int=_int, parse_constant=_no_json)
        except json.JSONDecodeError:
            raise error from None
        return _decode_anything(json.dumps(tree).encode())  # half a surrogate pair is refused


def _float(digits: str) -> float | None:
    return value if math.isfinite(value := float(digits)) else None


def _int(digits: str) -> int | None:
    return int(digits) if len(digits) <= MAX_DIGITS else None


def _no_json(name: str) -> None:
    msg = f"{name} is no JSON"
    raise json.JSONDecodeError(msg, "", 0)


def _time_stamp(tree: dict[str, Any]) -> float:
    value = tree.get("time_stamp")
    if isinstance(value, str | int) and not isinstance(value, bool):  # a number in quotes is unambiguous
        try:
            value = float(value)
        except ValueError:
            raise Rejected(Reason.BAD_TIME_STAMP, "time_stamp is a text") from None
        except OverflowError:  # an integer beyond any float
            value = math.inf
    if not isinstance(value, float) or not math.isfinite(value):
        kind = "missing" if value is None else f"not a number: {str(value)[:40]}"
        raise Rejected(Reason.BAD_TIME_STAMP, f"time_stamp is {kind}")
    return value


def _author(author: dict[str, Any]) -> Author:
    return Author(_text(author, "userId"), _text(author, "uniqueId"), _text(author, "nickName"))


def _music(music: dict[str, Any]) -> Music:
    return Music(_text(music, "musicId"), _text(music, "musicName"), _text(music, "authorName"))


def _object(tree: dict[str, Any], name: str) -> dict[str, Any]:
    value = tree.get(name)
    return value if isinstance(value, dict) else {}


def _text(tree: dict[str, Any], name: str) -> str | None:
    value = tree.get(name)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _count(tree: dict[str, Any], name: str) -> int | None:
    value = tree.get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:19])
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return min(max(value, -MAX_COUNT), MAX_COUNT)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
