"""A keyword through time: mentions in each window, what was expected, and which windows were outliers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from dashboard.database import Database, Row
from dashboard.expectations import IN_FORCE, Expectation, baselines_of
from dashboard.parameters import From, Keyword, KeywordText, Status, To, folded
from dashboard.problems import ProblemError, documented
from dashboard.services import Reader
from dashboard.watchlist import as_keyword
from detection.counts import WINDOW_SECONDS

router = APIRouter(tags=["keywords"])

WINDOW = timedelta(seconds=WINDOW_SECONDS)
DEFAULT_SPAN = timedelta(days=1)
LARGEST_SPAN = timedelta(days=31)
MOST_KEYWORDS = 50
SPARKLINE_SPAN = timedelta(days=2)
"""An open incident had its last outlier a day ago at most: what led to it is to be seen too."""
SEASON_DAYS = 28


class Mark(BaseModel):
    """That a window was an outlier."""

    severity: str
    status: Status
    score: float
    p_value: float


class Point(BaseModel):
    """One window of a keyword."""

    window_start: datetime
    mentions: int | None = Field(description="Posts that mention it; null where the stream saw no window at all.")
    expected: float | None = Field(description="Null for a keyword without a baseline.")
    lower: float | None
    upper: float | None
    platform_posts: int | None = Field(description="Posts of the whole platform.")
    open: bool = Field(description="The window has not closed: its counts still grow.")
    outlier: Mark | None = None


class Series(BaseModel):
    """A keyword's windows, oldest first, without gaps."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "keyword": "dance",
                    "window_seconds": 900,
                    "points": [
                        {
                            "window_start": "2026-03-01T18:15:00Z",
                            "mentions": 412,
                            "expected": 61.4,
                            "lower": 44.0,
                            "upper": 82.0,
                            "platform_posts": 18_204,
                            "open": False,
                            "outlier": {
                                "severity": "critical",
                                "status": "confirmed",
                                "score": 3.7,
                                "p_value": 3.1e-14,
                            },
                        }
                    ],
                }
            ]
        }
    )

    keyword: str
    window_seconds: int
    points: list[Point]


class Sparkline(BaseModel):
    """A keyword's recent windows as columns, oldest first; of equal length."""

    keyword: str
    start: datetime = Field(description="Start of the first window.")
    window_seconds: int
    mentions: list[int | None]
    lower: list[float | None]
    upper: list[float | None]
    outlier: list[bool]


class Sparklines(BaseModel):
    """Small series of several keywords."""

    items: list[Sparkline]


class Season(BaseModel):
    """How a keyword is spread over the week."""

    keyword: str
    days: int = Field(description="Days of history that it is taken from.")
    mean: list[float | None] = Field(
        description="Mean mentions per window in each hour of the week, 168 values, Monday 00:00 UTC first; null where "
        "no window was seen."
    )


class Suggestions(BaseModel):
    """Keywords that begin with a text."""

    items: list[str]


class Resolved(BaseModel):
    """The keyword that posts with a text count for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keyword": "grossglockner"}]})

    keyword: str


class Span(NamedTuple):
    """Some windows in a row: from the start of the first to the end of the last."""

    start: datetime
    end: datetime

    @property
    def windows(self) -> list[datetime]:
        """Start of each window."""
        return [self.start + i * WINDOW for i in range((self.end - self.start) // WINDOW)]


@router.get("/series", responses=documented(422, 503))
def get_series(reader: Reader, keyword: Keyword, start: From = None, end: To = None) -> Series:
    """Return a keyword's windows with what was expected; by default the day up to the newest window."""
    span = _span(reader, start, end, DEFAULT_SPAN, LARGEST_SPAN)
    return Series(keyword=keyword, window_seconds=WINDOW_SECONDS, points=points(reader, keyword, span))


@router.get(
    "/series.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **documented(422, 503)},
)
def download_series(reader: Reader, keyword: Keyword, start: From = None, end: To = None) -> Response:
    """Return a keyword's windows as CSV, for a spreadsheet."""
    series = get_series(reader, keyword, start, end)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        ["keyword", "window_start", "mentions", "expected", "lower", "upper", "platform_posts", "severity", "status"]
    )
    for point in series.points:
        mark = point.outlier
        writer.writerow(
            [
                spreadsheet_safe(keyword),
                point.window_start.isoformat(),
                point.mentions,
                *(None if value is None else round(value, 3) for value in (point.expected, point.lower, point.upper)),
                point.platform_posts,
                mark.severity if mark else "",
                mark.status if mark else "",
            ]
        )
    headers = {"Content-Disposition": 'attachment; filename="keyword.csv"'}
    return Response("\ufeff" + text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/sparklines", responses=documented(422, 503))
def get_sparklines(
    reader: Reader,
    keyword: Annotated[
        list[KeywordText], Query(min_length=1, max_length=MOST_KEYWORDS, description="Repeat for several.")
    ],
    start: From = None,
    end: To = None,
) -> Sparklines:
    """Return small series of several keywords at once; by default the two days up to the newest window."""
    span = _span(reader, start, end, SPARKLINE_SPAN, SPARKLINE_SPAN)
    seen = _see(reader, list(dict.fromkeys(keyword)), span)
    return Sparklines(
        items=[
            Sparkline(
                keyword=name,
                start=span.start,
                window_seconds=WINDOW_SECONDS,
                mentions=one.mentions,
                lower=[judged["lower"] if judged else usual and usual.lower for judged, usual in one.judged],
                upper=[judged["upper"] if judged else usual and usual.upper for judged, usual in one.judged],
                outlier=[judged is not None for judged, _ in one.judged],
            )
            for name, one in seen.keywords.items()
        ]
    )


@router.get("/season", responses=documented(422, 503))
def get_season(reader: Reader, keyword: Keyword) -> Season:
    """Return a keyword's mean week, from its counts of the last four weeks."""
    end = newest_window(reader) or datetime.now(UTC)
    rows = reader.rows(
        """
        SELECT ((extract(isodow FROM t.window_start) - 1) * 24 + extract(hour FROM t.window_start))::int AS hour,
               sum(coalesce(k.mentions, 0))::float / count(*) AS mean,
               array_agg(DISTINCT t.window_start::date) AS days
        FROM window_totals t
        LEFT JOIN keyword_windows k ON k.keyword = %(keyword)s AND k.window_start = t.window_start
            AND k.window_start > %(start)s AND k.window_start <= %(end)s
        WHERE t.window_start > %(start)s AND t.window_start <= %(end)s AND t.pane > 0
        GROUP BY 1
        """,
        {"keyword": keyword, "start": end - timedelta(days=SEASON_DAYS), "end": end},
    )
    means = {row["hour"]: row["mean"] for row in rows}
    return Season(
        keyword=keyword,
        days=len({day for row in rows for day in row["days"]}),
        mean=[means.get(hour) for hour in range(7 * 24)],
    )


@router.get("/keywords", responses=documented(422, 503))
def suggest_keywords(
    reader: Reader,
    prefix: Annotated[KeywordText, Query(description="What the keyword begins with.")],
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> Suggestions:
    """Return keywords that begin with a text: those with incidents first, then those with a baseline."""
    like = folded(prefix).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    rows = reader.rows(
        f"""
        (SELECT keyword, 0 AS rank FROM incidents WHERE keyword LIKE %(like)s GROUP BY keyword LIMIT %(limit)s)
        UNION ALL
        (SELECT keyword, 1 FROM baselines
         WHERE version = ({IN_FORCE}) AND keyword LIKE %(like)s
         ORDER BY keyword LIMIT %(limit)s)
        """,  # noqa: S608 - text of our own
        {"like": like, "limit": limit},
    )
    ranked = dict.fromkeys(row["keyword"] for row in sorted(rows, key=lambda row: (row["rank"], row["keyword"])))
    return Suggestions(items=list(ranked)[:limit])


@router.get("/keyword", responses=documented(422, 503))
def resolve_keyword(
    text: Annotated[KeywordText, Query(description="What somebody typed.", examples=["#Großglockner"])],
) -> Resolved:
    """Return the keyword that a text is counted as: in lower case, normalised, without `#`."""
    return Resolved(keyword=as_keyword(text.strip()))


def newest_window(reader: Database) -> datetime | None:
    """Return the start of the newest window of which there are counts, the stream's or the batch's."""
    row = reader.row("SELECT max(window_start) AS newest FROM window_totals")
    newest: datetime | None = row["newest"] if row else None
    return newest


class _Keyword(NamedTuple):
    """What is known of a keyword, window by window.

    Attributes:
        mentions: posts that mention it; None where the stream saw no window.
        judged: its row of ``outliers``, and what was usual by its baseline; None where there is none.
    """

    mentions: list[int | None]
    judged: list[tuple[Row | None, Expectation | None]]


class _Seen(NamedTuple):
    """Some keywords in a span.

    Attributes:
        totals: the row of ``window_totals`` of each window; None where the stream saw none.
        keywords: of each keyword, as many windows.
    """

    totals: list[Row | None]
    keywords: dict[str, _Keyword]


def _see(reader: Database, keywords: Sequence[str], span: Span) -> _Seen:
    starts = span.windows
    place = {start: i for i, start in enumerate(starts)}
    values = {"keywords": list(keywords), "start": span.start, "end": span.end, "seconds": WINDOW_SECONDS}
    totals: list[Row | None] = [None] * len(starts)
    for row in reader.rows(
        "SELECT window_start, posts, pane FROM window_totals WHERE window_start >= %(start)s AND window_start < %(end)s",
        values,
    ):
        totals[place[row["window_start"]]] = row
    # A closed window keeps no row of a keyword that hardly anybody mentioned; an open one keeps none at all.
    uncounted = [0 if total is not None and total["pane"] > 0 else None for total in totals]
    mentions: dict[str, list[int | None]] = {keyword: list(uncounted) for keyword in keywords}
    outliers: dict[str, list[Row | None]] = {keyword: [None] * len(starts) for keyword in keywords}
    for row in reader.rows(
        "SELECT keyword, window_start, mentions, expected, lower, upper, severity, status, score, p_value FROM outliers"
        " WHERE keyword = ANY(%(keywords)s) AND window_start >= %(start)s AND window_start < %(end)s"
        " AND status <> 'retracted'",
        values,
    ):
        at = place[row["window_start"]]
        outliers[row["keyword"]][at] = row
        mentions[row["keyword"]][at] = row["mentions"]
    # One row a keyword: fifty sparklines are five thousand windows, which cost more to unpack than to find.
    for row in reader.rows(
        "SELECT keyword, array_agg((extract(epoch FROM window_start - %(start)s) / %(seconds)s)::int) AS windows,"
        " array_agg(mentions) AS mentions FROM keyword_windows WHERE keyword = ANY(%(keywords)s)"
        " AND window_start >= %(start)s AND window_start < %(end)s GROUP BY keyword",
        values,
    ):
        for at, count in zip(row["windows"], row["mentions"], strict=True):
            mentions[row["keyword"]][at] = count
    volume = np.array([total["posts"] if total else np.nan for total in totals])
    usual: dict[str, Sequence[Expectation | None]] = {
        keyword: baseline.expect(starts, volume) for keyword, baseline in baselines_of(reader, keywords).items()
    }
    unknown: Sequence[Expectation | None] = [None] * len(starts)
    return _Seen(
        totals,
        {
            keyword: _Keyword(mentions[keyword], list(zip(outliers[keyword], usual.get(keyword, unknown), strict=True)))
            for keyword in keywords
        },
    )


def points(reader: Database, keyword: str, span: Span) -> list[Point]:
    """Return the windows of a keyword in a span."""
    totals, keywords = _see(reader, [keyword], span)
    seen = keywords[keyword]
    return [
        _point(start, total, mentions, outlier, usual)
        for start, total, mentions, (outlier, usual) in zip(
            span.windows, totals, seen.mentions, seen.judged, strict=True
        )
    ]


def _point(
    start: datetime, total: Row | None, mentions: int | None, outlier: Row | None, usual: Expectation | None
) -> Point:
    judged = outlier or (usual._asdict() if usual else {})
    return Point(
        window_start=start,
        mentions=mentions,
        expected=judged.get("expected"),
        lower=judged.get("lower"),
        upper=judged.get("upper"),
        platform_posts=total["posts"] if total else None,
        open=total is not None and total["pane"] == 0,
        outlier=_mark(outlier),
    )


def _mark(outlier: Row | None) -> Mark | None:
    if outlier is None:
        return None
    return Mark.model_validate({name: outlier[name] for name in Mark.model_fields})


def spreadsheet_safe(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def _span(
    reader: Database, start: datetime | None, end: datetime | None, default: timedelta, largest: timedelta
) -> Span:
    if end is None:
        newest = newest_window(reader)
        end = (
            (newest or datetime.now(UTC)) + WINDOW
            if start is None
            else min(start + default, datetime.now(UTC) + WINDOW)
        )
    span = span_of(end - default if start is None else start, end)
    if not timedelta(0) < span.end - span.start <= largest:
        detail = f"`from` must lie before `to`, by {largest.days} days at most."
        raise ProblemError(422, "bad-span", detail)
    return span


def span_of(start: datetime, end: datetime) -> Span:
    """Return the whole windows that a span of time touches."""
    return Span(_aligned(start), _aligned(end + WINDOW - timedelta(microseconds=1)))


def _aligned(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    return moment - timedelta(
        minutes=moment.minute % (WINDOW_SECONDS // 60), seconds=moment.second, microseconds=moment.microsecond
    )
