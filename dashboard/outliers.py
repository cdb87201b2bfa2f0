"""Outliers: single windows of a keyword that are unusual, as the stream judged them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from msgspec import Meta
from pydantic import BaseModel, ConfigDict, Field, computed_field

from dashboard import paging
from dashboard.database import Database
from dashboard.paging import CursorText, Limit
from dashboard.parameters import From, KeywordText, PostId, Severities, Severity, Status, To
from dashboard.problems import documented
from dashboard.services import Reader

router = APIRouter(tags=["outliers"])

COLUMNS = """
    keyword, window_start, mentions, expected, lower, upper, p_value, score, severity, status, tide, excess,
    sample_posts::text[] AS sample_posts, baseline_version, detector, posts AS platform_posts
"""

RETURN_PERIOD_DETECTOR = "return_period"
"""Its score is log10(1 + days), where the keyword does this about once in so many days."""
LARGEST_EXPONENT = 12.0
RETURN_PERIOD = "The keyword does this about once in so many days; null if the detector does not tell."

_Key = tuple[datetime, float, Annotated[str, Meta(pattern=r"^[^\x00]*$")]]


class Outlier(BaseModel):
    """A keyword in a 15-minute window, and how unusual it was."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "keyword": "dance",
                    "window_start": "2026-03-01T18:15:00Z",
                    "mentions": 412,
                    "expected": 61.4,
                    "lower": 44.0,
                    "upper": 82.0,
                    "p_value": 3.1e-14,
                    "score": 3.7,
                    "severity": "critical",
                    "status": "confirmed",
                    "tide": 6.2,
                    "excess": 350.6,
                    "sample_posts": ["7341234567890123456"],
                    "baseline_version": 12,
                    "detector": "return_period",
                    "platform_posts": 18_204,
                    "return_period_days": 5_010.9,
                }
            ]
        }
    )

    keyword: str
    window_start: datetime
    mentions: int
    expected: float = Field(description="Mentions expected in the window.")
    lower: float = Field(description="Lower end of the usual range.")
    upper: float = Field(description="Upper end of the usual range.")
    p_value: float = Field(description="Probability of so many mentions or more if nothing is unusual.")
    score: float = Field(description="How unusual; what it means depends on the detector.")
    severity: str = Field(description="`low` to `critical`; `none` once retracted.")
    status: Status
    tide: float = Field(description="Mentions that the growth of the whole platform explains.")
    excess: float = Field(description="The keyword's own mentions above what is explained.")
    sample_posts: list[PostId]
    baseline_version: int
    detector: str
    platform_posts: int = Field(description="Posts of the whole platform in the window.")

    @computed_field(description=RETURN_PERIOD)  # type: ignore[prop-decorator]
    @property
    def return_period_days(self) -> float | None:
        """How often the keyword does this."""
        return return_period(self.score, self.detector)


def return_period(score: float, detector: str | None) -> float | None:
    """Return the days that a score stands for, None for a detector whose scores stand for something else."""
    return 10.0 ** min(score, LARGEST_EXPONENT) - 1 if detector == RETURN_PERIOD_DETECTOR else None


class OutlierPage(BaseModel):
    """A page of outliers, newest window first, most unusual first within a window."""

    items: list[Outlier]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")


@router.get("/outliers", responses=documented(400, 422, 503))
def list_outliers(
    reader: Reader,
    keyword: Annotated[KeywordText | None, Query(description="Only this keyword.")] = None,
    start: From = None,
    end: To = None,
    severity: Severities = None,
    status: Annotated[
        list[Status] | None, Query(max_length=3, description="By default all but retracted ones.")
    ] = None,
    cursor: CursorText = None,
    limit: Limit = paging.DEFAULT_LIMIT,
) -> OutlierPage:
    """List outliers, newest window first."""
    return page(reader, keyword, start, end, severity, status, cursor, limit)


def page(
    reader: Database,
    keyword: str | None,
    start: datetime | None,
    end: datetime | None,
    severity: list[Severity] | None,
    status: list[Status] | None,
    cursor: str | None,
    limit: int,
) -> OutlierPage:
    """Read one page of outliers."""
    conditions = ["status = ANY(%(status)s)"]
    values: dict[str, Any] = {"status": status or ["provisional", "confirmed"], "limit": limit + 1}
    for condition, name, value in (
        ("keyword = %(keyword)s", "keyword", keyword),
        ("window_start >= %(start)s", "start", start),
        ("window_start < %(end)s", "end", end),
        ("severity = ANY(%(severity)s)", "severity", severity),
    ):
        if value is not None:
            conditions.append(condition)
            values[name] = value
    if cursor is not None:
        values["at"], values["after_score"], values["after_keyword"] = paging.decode(cursor, "outliers", _Key)
        conditions.append(
            "window_start <= %(at)s AND (window_start < %(at)s OR score < %(after_score)s"
            " OR (score = %(after_score)s AND keyword > %(after_keyword)s))"
        )
    found = reader.rows(
        f"SELECT {COLUMNS} FROM outliers WHERE {' AND '.join(conditions)}"  # noqa: S608 - conditions of our own
        " ORDER BY window_start DESC, score DESC, keyword LIMIT %(limit)s",
        values,
    )
    rows, more = paging.split(found, limit)
    last = rows[-1] if more else None
    return OutlierPage(
        items=[Outlier.model_validate(row) for row in rows],
        next_cursor=paging.encode("outliers", (last["window_start"], last["score"], last["keyword"])) if last else None,
    )
