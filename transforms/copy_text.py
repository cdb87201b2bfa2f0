"""The text format of Postgres' COPY."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

NULL: Final = "\\N"

# A NUL cannot stand in a text of Postgres, nor can half a surrogate pair (it has no UTF-8).
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": ""})
_ELEMENT_ESCAPES = str.maketrans({"\\": "\\\\\\\\", '"': '\\\\"', "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": ""})


def text(value: str | None) -> str:
    r"""Return a text as COPY takes it.

    >>> print(text("a\tb\\"), text(None))
    a\tb\\ \N
    """
    return NULL if value is None else value.translate(_ESCAPES)


def array(values: Iterable[str]) -> str:
    r"""Return an array of texts as COPY takes it.

    >>> print(array(["a", 'b"c', "d\\e"]))
    {"a","b\\"c","d\\\\e"}
    """
    inside = '","'.join([value.translate(_ELEMENT_ESCAPES) for value in values])
    return f'{{"{inside}"}}' if inside else "{}"


def encode(lines: Iterable[str]) -> bytes:
    """Join lines of COPY; what has no UTF-8 is replaced."""
    return "".join(lines).encode("utf-8", "replace")
