"""The posts behind a keyword: all of them once the daily batch has parsed the day, else the stream's few samples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from msgspec import Meta
from pydantic import BaseModel, ConfigDict, Field, computed_field

from dashboard import paging
from dashboard.database import Database, existing_tables
from dashboard.paging import CursorText, Limit
from dashboard.parameters import LARGEST_ID, Keyword, Moment, PostId
from dashboard.problems import ProblemError, documented
from dashboard.services import Reader

router = APIRouter(tags=["keywords"])

LARGEST_SPAN = timedelta(days=31)

Basis = Literal["exact", "sampled"]
_Key = tuple[Annotated[int, Meta(ge=0, le=LARGEST_ID)], Annotated[int, Meta(ge=0, le=LARGEST_ID)]]
_HANDLE = re.compile(r"[\w.]{2,24}", re.ASCII)

COLUMNS = """
    p.post_id::text AS post_id, p.posted_at, p.seen_at, p.author_name, p.text, p.challenges, p.comment_count, p.digg_count,
    p.share_count, p.engagement,
    (SELECT concat_ws(' – ', m.music, m.artist) FROM music_daily m
     WHERE m.date = (p.seen_at AT TIME ZONE 'UTC')::date AND m.music_id = p.music_id) AS music
"""


class Post(BaseModel):
    """A post; of a sampled one only the id is known."""

    post_id: PostId
    posted_at: datetime | None = None
    seen_at: datetime | None = Field(default=None, description="Event time: which window it counts in.")
    author_name: str | None = None
    text: str | None = None
    challenges: list[str] = []
    music: str | None = None
    comment_count: int | None = None
    digg_count: int | None = None
    share_count: int | None = None
    engagement: int | None = Field(default=None, description="Comments, likes and shares together.")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def url(self) -> str:
        """Where TikTok shows it; TikTok itself puts the author's name in if it is unknown here."""
        known = self.author_name is not None and _HANDLE.fullmatch(self.author_name)
        return f"https://www.tiktok.com/@{quote(self.author_name or '') if known else ''}/video/{quote(self.post_id)}"


class PostPage(BaseModel):
    """A page of posts, those with the most engagement first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "basis": "exact",
                    "items": [
                        {
                            "post_id": "7341234567890123456",
                            "posted_at": "2026-03-01T18:16:40Z",
                            "seen_at": "2026-03-01T18:17:02Z",
                            "author_name": "ana.dances",
                            "text": "learn it with me #dance",
                            "challenges": ["dance"],
                            "music": "Slow Motion – The Example",
                            "comment_count": 12,
                            "digg_count": 803,
                            "share_count": 41,
                            "engagement": 856,
                            "url": "https://www.tiktok.com/@ana.dances/video/7341234567890123456",
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    basis: Basis = Field(
        description="`exact`: all posts; `sampled`: the stream's samples, for the day is not parsed yet, or the batch left "
        "the keyword out."
    )
    items: list[Post]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")


@router.get("/posts", responses=documented(400, 422, 503))
def list_posts(
    reader: Reader,
    keyword: Keyword,
    start: Annotated[
        Moment, Query(alias="from", description="ISO 8601 with a zone.", examples=["2026-03-01T18:15:00Z"])
    ],
    end: Annotated[Moment, Query(alias="to", description="ISO 8601 with a zone.", examples=["2026-03-01T18:30:00Z"])],
    cursor: CursorText = None,
    limit: Limit = paging.DEFAULT_LIMIT,
) -> PostPage:
    """List the posts of a keyword in some windows."""
    check_span(start, end)
    if not is_parsed(reader, start, end):
        return _sampled(samples(reader, keyword, start, end))
    values: dict[str, Any] = {"keyword": keyword, "start": start, "end": end, "limit": limit + 1}
    after = ""
    if cursor is not None:
        values["engagement"], values["post_id"] = paging.decode(cursor, "posts", _Key)
        after = "AND (p.engagement, p.post_id) < (%(engagement)s, %(post_id)s)"
    found = reader.rows(
        f"""
        SELECT {COLUMNS} FROM posts p
        WHERE p.keywords @> ARRAY[%(keyword)s] AND p.seen_at >= %(start)s AND p.seen_at < %(end)s {after}
        ORDER BY p.engagement DESC, p.post_id DESC LIMIT %(limit)s
        """,  # noqa: S608 - text of our own
        values,
    )
    # The batch leaves hashtags that say nothing out of the posts' keywords; the stream may have kept samples of them.
    if not found and cursor is None and (kept := samples(reader, keyword, start, end)):
        return _sampled(kept)
    rows, more = paging.split(found, limit)
    key = (rows[-1]["engagement"], int(rows[-1]["post_id"])) if more else None
    return PostPage(
        basis="exact",
        items=[Post.model_validate(row) for row in rows],
        next_cursor=paging.encode("posts", key) if key else None,
    )


def _sampled(kept: Sequence[str]) -> PostPage:
    return PostPage(basis="sampled", items=[Post(post_id=post) for post in kept], next_cursor=None)


def check_span(start: datetime, end: datetime) -> None:
    """See that a span can be asked for.

    Raises:
        ProblemError: it is empty or too long.
    """
    if not timedelta(0) < end - start <= LARGEST_SPAN:
        raise ProblemError(422, "bad-span", f"`from` must lie before `to`, by {LARGEST_SPAN.days} days at most.")


def is_parsed(reader: Database, start: datetime, end: datetime) -> bool:
    """Tell whether every day (UTC) of a span is in ``posts``."""
    wanted = {(start + timedelta(days=i)).date() for i in range((end.date() - start.date()).days + 1)}
    wanted -= {end.date()} if end.time() == end.time().min else set()
    return wanted <= parsed_days(reader, min(wanted), max(wanted))


def parsed_days(reader: Database, first: Any, last: Any) -> set[Any]:
    """Return the days of a range, both ends included, whose posts are in ``posts``."""
    values = {"first": first, "last": last}
    if "parsed_days" in existing_tables(reader, ["parsed_days"]):
        rows = reader.rows("SELECT date FROM parsed_days WHERE date BETWEEN %(first)s AND %(last)s", values)
    else:
        rows = reader.rows(
            """
            SELECT day::date AS date FROM generate_series(%(first)s::date, %(last)s::date, interval '1 day') day
            WHERE EXISTS (
                SELECT FROM posts WHERE seen_at >= day AT TIME ZONE 'UTC' AND seen_at < (day + interval '1 day') AT TIME ZONE 'UTC'
            )
            """,
            values,
        )
    return {row["date"] for row in rows}


def samples(reader: Database, keyword: str, start: datetime, end: datetime) -> Sequence[str]:
    """Return the ids of the posts that the stream kept of a keyword's outliers in a span, most unusual window first."""
    rows = reader.rows(
        """
        SELECT sample_posts::text[] AS posts FROM outliers
        WHERE keyword = %(keyword)s AND window_start >= %(start)s AND window_start < %(end)s AND status <> 'retracted'
        ORDER BY score DESC LIMIT 100
        """,
        {"keyword": keyword, "start": start, "end": end},
    )
    return list(dict.fromkeys(post for row in rows for post in row["posts"]))
