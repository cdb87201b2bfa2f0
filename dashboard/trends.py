"""Trends: what was posted much more on a day than on the week before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import date as Date  # noqa: N812 - the field is called `date`
from datetime import timedelta
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Path, Query
from msgspec import Meta
from pydantic import BaseModel, ConfigDict, Field

from dashboard import paging
from dashboard.database import Database, Row
from dashboard.paging import CursorText, Limit
from dashboard.parameters import NO_NUL
from dashboard.posts import parsed_days
from dashboard.problems import documented
from dashboard.services import Reader
from transforms.readable import hashtag

router = APIRouter(tags=["trends"])

SHOWN_DAYS = 366
DAYS_BEFORE = 7

Subject = Literal["keywords", "challenges", "sounds", "musicians"]
Order = Literal["growth", "volume"]
State = Literal["ready", "no_trends", "not_parsed"]
_Key = tuple[float, Annotated[str, Meta(pattern=NO_NUL)]]

# What the table `trends` calls a subject, and rows of (date, id, posts, engagement) of its days.
_SUBJECTS: dict[Subject, tuple[str, str]] = {
    "keywords": (
        "keyword",
        "SELECT date, keyword AS id, mentions AS posts, NULL::bigint AS engagement FROM keyword_daily",
    ),
    "challenges": ("challenge", "SELECT date, challenge AS id, posts, engagement FROM challenge_daily"),
    "sounds": ("music", "SELECT date, music_id AS id, posts, engagement FROM music_daily"),
    "musicians": (
        "musician",
        "SELECT date, artist AS id, sum(posts)::bigint AS posts, sum(engagement)::bigint AS engagement"
        " FROM music_daily GROUP BY date, artist",
    ),
}
# On a day without an earlier one nothing has a growth, so the larger comes first.
_RANKS: dict[Order, str] = {"growth": "coalesce(growth, posts)", "volume": "posts::float8"}


class Trend(BaseModel):
    """One keyword, challenge, sound or musician on one day."""

    id: str
    name: str
    keyword: str | None = Field(description="What posts with it are counted as; null for sounds and musicians.")
    artist: str | None = Field(description="Of a sound.")
    posts: int
    engagement: int | None = Field(description="Comments, likes and shares of the posts; null for keywords.")
    usual: float | None = Field(
        description="Posts that its share of the days before makes of this day's volume; null if there is no such day."
    )
    growth: float | None = Field(
        description="Posts over usual, both raised by ten, so that from 1 to 4 posts is no trend; null as `usual` is."
    )
    daily: list[int | None] = Field(
        description="Posts on the seven days before and on the day itself, oldest first; null where they are not known: the "
        "day has not been parsed, or left the hashtag out because it said nothing."
    )


class TrendPage(BaseModel):
    """A page of trends."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "date": "2026-03-01",
                    "dates": ["2026-03-01", "2026-02-28"],
                    "state": "ready",
                    "advice": None,
                    "compared_days": 7,
                    "items": [
                        {
                            "id": "dance",
                            "name": "dance",
                            "keyword": "dance",
                            "artist": None,
                            "posts": 8_112,
                            "engagement": None,
                            "usual": 2_704.0,
                            "growth": 2.99,
                            "daily": [2_600, 2_650, 2_700, 2_750, 2_800, 2_700, 2_728, 8_112],
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    date: Date | None = Field(description="The day; null if no day has been parsed.")
    dates: list[Date] = Field(description="The days that have been parsed, newest first.")
    state: State = Field(description="Whether the daily batch has worked out the day's trends, and if not, what lacks.")
    advice: str | None = Field(description="What to do about a day that is not ready.")
    compared_days: int = Field(description="Earlier days that `usual` is the mean of.")
    items: list[Trend]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")


@router.get("/trends/{subject}", responses=documented(400, 422, 503))
def list_trends(
    reader: Reader,
    subject: Annotated[Subject, Path()],
    date: Annotated[
        Date | None,
        Query(ge=Date(1971, 1, 1), le=Date(2999, 1, 1), description="UTC; by default the newest that has trends."),
    ] = None,
    order: Annotated[Order, Query(description="Largest growth first, or most posts first.")] = "growth",
    min_posts: Annotated[
        int,
        Query(ge=1, le=10**9, description="Leave out what had fewer posts; with fewer than ten nothing is a trend."),
    ] = 1,
    cursor: CursorText = None,
    limit: Limit = paging.DEFAULT_LIMIT,
) -> TrendPage:
    """List what was posted much more than usual on a day, as the daily batch has worked it out."""
    dates = [
        row["date"]
        for row in reader.rows("SELECT date FROM parsed_days ORDER BY date DESC LIMIT %(n)s", {"n": SHOWN_DAYS})
    ]
    day = date or _newest(reader) or (dates[0] if dates else None)
    compared = _compared_days(reader, day) if day else None
    if day is None or compared is None:
        state, advice = _lack(day, dates)
        return TrendPage(date=day, dates=dates, state=state, advice=advice, compared_days=0, items=[], next_cursor=None)
    kind, source = _SUBJECTS[subject]
    values: dict[str, Any] = {"date": day, "kind": kind, "least": min_posts, "limit": limit + 1}
    after = ""
    list_name = f"trends.{subject}.{order}.{day}"
    if cursor is not None:
        values["rank"], values["id"] = paging.decode(cursor, list_name, _Key)
        after = "WHERE rank < %(rank)s OR (rank = %(rank)s AND name > %(id)s)"
    found = reader.rows(
        f"""
        WITH ranked AS (
            SELECT *, {_RANKS[order]} AS rank FROM trends
            WHERE date = %(date)s AND kind = %(kind)s AND posts >= %(least)s
        ) SELECT name, title, artist, posts, usual, growth, rank FROM ranked {after} ORDER BY rank DESC, name LIMIT %(limit)s
        """,  # noqa: S608 - texts of our own
        values,
    )
    rows, more = paging.split(found, limit)
    around = [day - timedelta(days=ago) for ago in range(DAYS_BEFORE, -1, -1)]
    days = reader.rows(
        f"SELECT date, id, posts, engagement FROM ({source}) source WHERE date = ANY(%(dates)s) AND id = ANY(%(ids)s)",  # noqa: S608 - texts of our own
        {"dates": around, "ids": [row["name"] for row in rows]},
    )
    by_day = {(row["id"], row["date"]): row for row in days}
    unsaid = reader.rows(
        "SELECT hashtag, date FROM common_hashtags WHERE boilerplate AND date = ANY(%(dates)s)", {"dates": around}
    )
    known = _Known(parsed_days(reader, around[0], day), {(row["hashtag"], row["date"]) for row in unsaid})
    return TrendPage(
        date=day,
        dates=dates,
        state="ready",
        advice=None,
        compared_days=compared,
        items=[
            _trend(subject, row, {one: by_day.get((row["name"], one)) for one in around}, known, compared)
            for row in rows
        ],
        next_cursor=paging.encode(list_name, (rows[-1]["rank"], rows[-1]["name"])) if more else None,
    )


def _newest(reader: Database) -> Date | None:
    row = reader.row("SELECT max(date) AS date FROM trends")
    return row["date"] if row else None


def _compared_days(reader: Database, day: Date) -> int | None:
    """Return how many days a day's trends were compared with at most, None if it has no trends."""
    row = reader.row("SELECT max(days) AS days FROM trends WHERE date = %(date)s", {"date": day})
    return row["days"] if row else None


def _lack(day: Date | None, dates: Sequence[Date]) -> tuple[State, str]:
    """Say why a day has no trends, and what to do about it."""
    if day in dates:
        return "no_trends", f"Work them out: `python -m beam_pipelines.trends --date {day}`"
    name = day or "YYYY-MM-DD"
    advice = f"Run the daily batch: `python -m beam_pipelines.parse --date {name}`, then `python -m beam_pipelines.stats --date {name}`"
    return "not_parsed", advice


class _Known(NamedTuple):
    """Of which days a missing figure is a zero.

    Attributes:
        parsed: the days that have been parsed.
        unsaid: hashtags, as keywords, with the days that left them out.
    """

    parsed: Set[Date]
    unsaid: Set[tuple[str, Date]]

    def zero(self, keyword: str | None, day: Date) -> int | None:
        """Return what no row of a day stands for."""
        return 0 if day in self.parsed and (keyword, day) not in self.unsaid else None


def _trend(subject: Subject, row: Row, days: Mapping[Date, Row | None], known: _Known, compared: int) -> Trend:
    today = days[max(days)]
    name = row["name"]
    keyword = name if subject == "keywords" else hashtag(name) if subject == "challenges" else None
    return Trend(
        id=name,
        name=row["title"] or name,
        keyword=keyword,
        artist=row["artist"],
        posts=row["posts"],
        engagement=today["engagement"] if today else None,
        usual=row["usual"] if compared else None,
        growth=row["growth"],
        daily=[one["posts"] if one else known.zero(keyword, day) for day, one in days.items()],
    )
