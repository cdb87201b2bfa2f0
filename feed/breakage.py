"""Posts as they come in real data: incomplete ones that can be used, and ones that cannot be read."""

from __future__ import annotations

import random
import re
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_TIME_STAMP = re.compile(rb',"time_stamp":[\d.]+}$')
_ID = re.compile(rb'"id":"\d+"')
_TEXT = b'"text":"'


def malform(post: bytes, chooser: random.Random) -> bytes:
    """Break optional fields: missing, null or of the wrong type. The post remains usable."""
    tree = _decode(post)
    for _ in range(chooser.randint(1, 3)):
        holder = tree if chooser.random() < 0.3 else tree.get("itemInfos")
        names = [name for name in holder if name not in ("id", "itemInfos", "time_stamp")]
        if names:
            _break_field(holder, chooser.choice(names), chooser)
    return _encode(tree)


def _break_field(holder: dict[str, Any], name: str, chooser: random.Random) -> None:
    value = holder[name]
    match chooser.randrange(3):
        case 0:
            del holder[name]
        case 1:
            holder[name] = None
        case _:
            # The wrong types that JSON writers produce: numbers as texts, one thing for a list of it, and so on.
            holder[name] = str(value) if isinstance(value, int) else 17 if isinstance(value, str) else "n/a"


def ruin(post: bytes, chooser: random.Random) -> bytes:
    """Make a post unreadable: cut off, without a usable id or time stamp, or not UTF-8."""
    match chooser.randrange(6):
        case 0:
            return post[: chooser.randint(1, len(post) - 2)]
        case 1:
            return _ID.sub(b'"id":"not-a-number"', post)
        case 2:
            return _ID.sub(b'"id":null', post)
        case 3:
            return _ID.sub(b'"nr":"1"', post)
        case 4:
            return _TIME_STAMP.sub(b"}", post)
        case _:
            # In the post's own text, which every reader looks at.
            place = post.rfind(_TEXT, 0, post.rfind(b'"video":')) + len(_TEXT)
            return post[:place] + b"\xc3\x28\xff" + post[place:]
