"""The text format of Postgres' COPY."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

NULL: Final = "\\N"

_search_special = re.compile(r'[\\\t\n\r\0"]').search  # most texts have none, and translate() looks up each character

# A NUL cannot stand in a text of Postgres, nor can half a surrogate pair (it has no UTF-8).
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": ""})
_ELEMENT_ESCAPES = str.maketrans({"\\": "\\\\\\\\", '"': '\\\\"', "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": ""})


def text(value: str | None) -> str:
    r"""Return a text as COPY takes it.

    >>> print(text("a\tb\\"), text(None))
    a\tb\\ \N
    """
    if value is None:
        return NULL
    return value if _search_special(value) is None else value.translate(_ESCAPES)


def array(values: Sequence[str]) -> str:
    r"""Return an array of texts as COPY takes it.

    >>> print(array(["a", 'b"c', "d\\e"]))
    {"a","b\\"c","d\\\\e"}
    """
    if not values:
        return "{}"
    if _search_special("".join(values)) is not None:
        values = [value.translate(_ELEMENT_ESCAPES) for value in values]
    inside = '","'.join(values)
    return f'{{"{inside}"}}'


def encode(lines: Iterable[str]) -> bytes:
    """Join lines of COPY; what has no UTF-8 is replaced."""
    return "".join(lines).encode("utf-8", "replace")


@lru_cache(maxsize=1 << 14)  # posts of a day share their seconds
def time_of(seconds: float) -> str:
    """Return a time, given in epoch seconds, as Postgres takes it, to the microsecond.

    Rounding never reaches the next second: with it a post at the end of a day would leave the day that it was found in.
    """
    whole = math.floor(seconds)
    microsecond = min(round((seconds - whole) * 1e6), 999_999)
    return datetime.fromtimestamp(whole, UTC).replace(microsecond=microsecond).isoformat(" ")


def day_start(day: date) -> str:
    """Return the first moment of a day (UTC) as Postgres takes it."""
    return f"{day.isoformat()} 00:00:00+00"
