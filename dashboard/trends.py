"""Trends: what was posted much more on a day than on the week before it."""

from __future__ import annotations

from datetime import date as Date  # noqa: N812 - the field is called `date`
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from msgspec import Meta
from pydantic import BaseModel, ConfigDict, Field

from dashboard import paging
from dashboard.paging import CursorText, Limit
from dashboard.parameters import NO_NUL
from dashboard.problems import documented
from dashboard.services import Reader

router = APIRouter(tags=["trends"])

DAYS_BEFORE = 7
SMOOTHING = 10
"""Posts added to both sides of the growth that ranks: from 1 to 4 posts is no trend, from 1,000 to 4,000 is."""

Subject = Literal["keywords", "challenges", "sounds", "musicians"]
Order = Literal["growth", "volume"]
_Key = tuple[float, Annotated[str, Meta(pattern=NO_NUL)]]

# Rows of (date, id, name, artist, posts, engagement), and the table that tells which days there are.
_SOURCES: dict[Subject, tuple[str, str]] = {
    "keywords": (
        "keyword_daily",
        "SELECT date, keyword AS id, keyword AS name, NULL AS artist, mentions AS posts, NULL::bigint AS engagement"
        " FROM keyword_daily",
    ),
    "challenges": (
        "challenge_daily",
        "SELECT date, challenge AS id, challenge AS name, NULL AS artist, posts, engagement FROM challenge_daily",
    ),
    "sounds": ("music_daily", "SELECT date, music_id AS id, music AS name, artist, posts, engagement FROM music_daily"),
    "musicians": (
        "music_daily",
        "SELECT date, artist AS id, artist AS name, NULL AS artist, sum(posts)::bigint AS posts,"
        " sum(engagement)::bigint AS engagement FROM music_daily WHERE artist IS NOT NULL GROUP BY date, artist",
    ),
}


class Trend(BaseModel):
    """One keyword, challenge, sound or musician on one day."""

    id: str
    name: str
    artist: str | None = Field(description="Of a sound.")
    posts: int
    engagement: int | None = Field(description="Comments, likes and shares of the posts; null for keywords.")
    usual: float | None = Field(
        description="Posts per day on the week before, days without any as zeros; null if no such day."
    )
    growth: float | None = Field(description="Posts over usual; null if it is new or there is no earlier day.")
    daily: list[int] = Field(description="Posts on the seven days before and on the day itself, oldest first.")


class TrendPage(BaseModel):
    """A page of trends."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "date": "2026-03-01",
                    "dates": ["2026-03-01", "2026-02-28"],
                    "compared_days": 7,
                    "items": [
                        {
                            "id": "dance",
                            "name": "dance",
                            "artist": None,
                            "posts": 8_112,
                            "engagement": None,
                            "usual": 2_704.0,
                            "growth": 3.0,
                            "daily": [2_600, 2_650, 2_700, 2_750, 2_800, 2_700, 2_728, 8_112],
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    date: Date | None = Field(description="The day; null if no day has been parsed.")
    dates: list[Date] = Field(description="The days that can be asked for, newest first.")
    compared_days: int = Field(description="Days of the week before that there are.")
    items: list[Trend]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")


@router.get("/trends/{subject}", responses=documented(400, 422, 503))
def list_trends(
    reader: Reader,
    subject: Annotated[Subject, Path()],
    date: Annotated[
        Date | None, Query(ge=Date(1971, 1, 1), le=Date(2999, 1, 1), description="UTC; by default the newest.")
    ] = None,
    order: Annotated[Order, Query(description="Largest growth first, or most posts first.")] = "growth",
    min_posts: Annotated[int, Query(ge=1, le=10**9, description="Leave out what had fewer posts.")] = 10,
    cursor: CursorText = None,
    limit: Limit = paging.DEFAULT_LIMIT,
) -> TrendPage:
    """List what was posted much more than usual on a day."""
    table, source = _SOURCES[subject]
    dates = [
        row["date"]
        for row in reader.rows(
            # One look into the index per day, however large a day is.
            f"""
            WITH RECURSIVE day AS (
                (SELECT date FROM {table} ORDER BY date DESC LIMIT 1)
                UNION ALL
                SELECT (SELECT t.date FROM {table} t WHERE t.date < day.date ORDER BY t.date DESC LIMIT 1) FROM day
                WHERE day.date IS NOT NULL
            ) SELECT date FROM day WHERE date IS NOT NULL LIMIT 366
            """  # noqa: S608 - one of three names of our own
        )
    ]
    day = date or (dates[0] if dates else None)
    if day is None:
        return TrendPage(date=None, dates=[], compared_days=0, items=[], next_cursor=None)
    compared = sum(0 < (day - other).days <= DAYS_BEFORE for other in dates)
    rank = {"growth": "ln((posts + %(smoothing)s) / (coalesce(usual, 0) + %(smoothing)s))", "volume": "posts::float"}[
        order
    ]
    values: dict[str, Any] = {
        "date": day,
        "compared": compared,
        "days_before": DAYS_BEFORE,
        "least": min_posts,
        "limit": limit + 1,
        "smoothing": float(SMOOTHING),
    }
    after = ""
    if cursor is not None:
        values["rank"], values["id"] = paging.decode(cursor, f"trends.{subject}.{order}.{day}", _Key)
        after = "WHERE rank < %(rank)s OR (rank = %(rank)s AND id > %(id)s)"
    found = reader.rows(
        f"""
        WITH source AS ({source}),
        today AS (SELECT * FROM source WHERE date = %(date)s AND posts >= %(least)s),
        before AS (
            SELECT id, sum(posts) AS posts FROM source
            WHERE date >= %(date)s - %(days_before)s AND date < %(date)s GROUP BY id
        ),
        compared AS (
            SELECT today.*, CASE WHEN %(compared)s > 0 THEN coalesce(before.posts, 0)::float / %(compared)s END AS usual
            FROM today LEFT JOIN before USING (id)
        ),
        ranked AS (SELECT *, {rank} AS rank FROM compared),
        page AS (SELECT * FROM ranked {after} ORDER BY rank DESC, id LIMIT %(limit)s)
        SELECT page.*,
               ARRAY(
                   SELECT coalesce((SELECT sum(posts) FROM source WHERE source.date = %(date)s - ago AND source.id = page.id), 0)
                   FROM generate_series(%(days_before)s, 0, -1) AS ago
               ) AS daily
        FROM page ORDER BY rank DESC, id
        """,  # noqa: S608 - texts of our own
        values,
    )
    rows, more = paging.split(found, limit)
    last = rows[-1] if more else None
    return TrendPage(
        date=day,
        dates=dates,
        compared_days=compared,
        items=[_trend(row) for row in rows],
        next_cursor=paging.encode(f"trends.{subject}.{order}.{day}", (last["rank"], last["id"])) if last else None,
    )


def _trend(row: Any) -> Trend:
    return Trend(
        id=row["id"],
        name=row["name"] or row["id"],
        artist=row["artist"],
        posts=row["posts"],
        engagement=row["engagement"],
        usual=row["usual"],
        growth=row["posts"] / row["usual"] if row["usual"] else None,
        daily=[int(value) for value in row["daily"]],
    )
