"""Pages of a list: an opaque cursor holds the place after the last row, so rows that come meanwhile shift nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import Query

from dashboard.problems import ProblemError

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 500

Limit = Annotated[int, Query(ge=1, le=LARGEST_LIMIT, description="Rows of a page at most.")]
CursorText = Annotated[
    str | None,
    Query(max_length=1000, description="`next_cursor` of the page before; the other parameters must stay the same."),
]


def encode(order: str, key: Sequence[Any]) -> str:
    """Pack the sort key of a page's last row, and what order it belongs to."""
    plain = [value.astimezone(UTC) if isinstance(value, datetime) else value for value in key]
    return base64.urlsafe_b64encode(msgspec.json.encode([order, plain])).rstrip(b"=").decode()


def decode(cursor: str, order: str, shape: Any) -> tuple[Any, ...]:
    """Unpack a cursor.

    Args:
        cursor: what ``encode`` made, from a stranger's hand.
        order: the order that is asked for now.
        shape: type of the sort key, a ``tuple[…]``.

    Raises:
        ProblemError: it is not a cursor of this list and order.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found, key = msgspec.json.decode(raw, type=tuple[str, shape])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        found, key = "", None
    if found != order or key is None:
        raise ProblemError(
            400, "bad-cursor", "The cursor does not belong to this list and its parameters. Start again without one."
        )
    return tuple(key)


def split(rows: Sequence[Any], limit: int) -> tuple[Sequence[Any], bool]:
    """Return the page of rows that were fetched with one more than ``limit``, and whether more follow."""
    return rows[:limit], len(rows) > limit
