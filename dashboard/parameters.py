"""Parameters that several routes share, validated the same way everywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

from transforms import text as texts

Severity = Literal["low", "medium", "high", "critical"]
Status = Literal["provisional", "confirmed", "retracted"]
Kind = Literal["surge", "drop"]

NO_NUL = r"^[^\x00]*$"
"""Postgres cannot hold the character NUL in a text."""

LARGEST_ID = 2**63 - 1

KeywordText = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
Keyword = Annotated[
    KeywordText, Query(description="The keyword, as the tables have it: lower case, without `#`.", examples=["dance"])
]


def folded(text: str) -> str:
    """Return a part of a keyword as the tables have it, however somebody types it.

    >>> folded(" #Groß")
    'gross'
    """
    return texts.folded(text.strip().lstrip("#＃"))


def _explicit(value: object) -> object:
    """Numbers would silently be taken as epoch seconds or milliseconds, by their size."""
    if isinstance(value, str) and value.lstrip("-").replace(".", "", 1).isdigit():
        msg = "expected ISO 8601 with a zone, such as 2026-03-01T12:00:00Z"
        raise ValueError(msg)
    return value


def _plausible(moment: datetime) -> datetime:
    """Arithmetic at the ends of the calendar overflows; no post is there."""
    if not 1970 < moment.year < 3000:
        msg = "expected a year from 1971 to 2999"
        raise ValueError(msg)
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, BeforeValidator(_explicit), AfterValidator(_plausible)]
From = Annotated[
    Moment | None,
    Query(
        alias="from",
        description="Only what is at or after this time: ISO 8601 with a zone.",
        examples=["2026-03-01T00:00:00Z"],
    ),
]
To = Annotated[
    Moment | None,
    Query(
        alias="to",
        description="Only what is before this time: ISO 8601 with a zone.",
        examples=["2026-03-02T00:00:00Z"],
    ),
]
Severities = Annotated[
    list[Severity] | None, Query(max_length=4, description="Only these severities; may be repeated.")
]
PostId = Annotated[str, Field(description="A number of up to 63 bits, as text: JavaScript's numbers are too short.")]
