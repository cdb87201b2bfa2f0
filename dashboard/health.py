"""How the system is: whether windows arrive, what was rejected, which baselines judge, and how the batch stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from datetime import date as Date  # noqa: N812 - the field is called `date`
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from dashboard.database import Database, Row, existing_tables
from dashboard.expectations import IN_FORCE
from dashboard.kafka import ConsumerLag, Meter
from dashboard.problems import documented
from dashboard.series import Span, span_of
from dashboard.services import Reader
from detection.counts import WINDOW_SECONDS

router = APIRouter(tags=["health"])

WINDOW = timedelta(seconds=WINDOW_SECONDS)
LATE_AFTER = timedelta(minutes=20)
"""Time since the end of the newest window from which the stream counts as behind: without early firings the next one is
seen when it has closed."""
STUCK_AFTER = timedelta(minutes=15)
"""Time since the end of a window that has not closed from which the watermark counts as stuck. Where posts are rare there may be
none of the windows before it, so how long ago the newest closed says less."""
STALE_AFTER = timedelta(hours=36)
"""Time since the end of their history from which baselines count as old: the day that the next batch takes in, and half a
day for it."""
DEAD_LETTER_DAYS = 7
SHOWN_TIME = timedelta(days=1)
SHOWN_DAYS = 14

# The batch writes every window of its days, with pane 3, whether there were posts or a stream or not. What the stream had
# counted in a window that it had closed is in `streamed` since.
_CLOSED = "(pane IN (1, 2) OR streamed IS NOT NULL)"
_WRITTEN = f"(pane = 0 OR {_CLOSED})"
_WINDOWS = "SELECT window_start, coalesce(streamed, posts) AS posts FROM window_totals"

Level = Literal["ok", "warning", "down"]


class Finding(BaseModel):
    """Something that is not as it should be."""

    level: Level
    what: str
    advice: str


class Stream(BaseModel):
    """What the stream has written, whatever the batch has of the same time; times in UTC."""

    last_window_start: datetime | None
    last_window_posts: int | None
    last_closed_window_start: datetime | None
    lag_seconds: float | None = Field(description="Now less the end of the newest window, 0 while it is open.")
    watermark_delay_seconds: float | None = Field(description="Now less the end of the newest window that has closed.")
    windows: list[tuple[datetime, int | None]] = Field(
        description="Start and posts of each window of 24 hours, oldest first; null where the stream has written none. They "
        "are those up to the newest window; up to now where it ended more than 20 minutes, but less than 24 hours ago. Empty "
        "before the first."
    )


class DeadLetters(BaseModel):
    """Posts that could not be read, of one reason."""

    reason: str
    count: int
    last_seen_at: datetime
    example: str = Field(description="Detail of the newest one.")


class BaselineVersion(BaseModel):
    """What the stream judges by."""

    version: int
    detector: str
    keywords: int
    history_from: datetime
    history_to: datetime
    published_at: datetime
    age_seconds: float = Field(description="Since the end of the history.")


class ParsedDay(BaseModel):
    """A day that the batch has parsed."""

    date: Date
    parsed_at: datetime
    posts: int
    duplicates: int | None = None
    late_posts: int | None = None
    dead_letters: int | None = None


class ParityDay(BaseModel):
    """A day for which the stream's counts were compared with the batch's."""

    date: Date
    checked_at: datetime
    keyword_windows: int
    equal: int
    late: int
    duplicate: int
    missing: int
    unexplained: int


class Health(BaseModel):
    """The state of the system as Postgres shows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "level": "ok",
                    "checked_at": "2026-03-01T18:47:00Z",
                    "findings": [],
                    "stream": {
                        "last_window_start": "2026-03-01T18:45:00Z",
                        "last_window_posts": 2_412,
                        "last_closed_window_start": "2026-03-01T18:30:00Z",
                        "lag_seconds": 0,
                        "watermark_delay_seconds": 120,
                        "windows": [
                            ["2026-03-01T18:15:00Z", None],
                            ["2026-03-01T18:30:00Z", 18_204],
                            ["2026-03-01T18:45:00Z", 2_412],
                        ],
                    },
                    "consumer": None,
                    "dead_letters": [
                        {
                            "reason": "not_json",
                            "count": 3,
                            "last_seen_at": "2026-03-01T17:02:11Z",
                            "example": "JSON is malformed: invalid character (byte 17)",
                        }
                    ],
                    "baselines": {
                        "version": 12,
                        "detector": "return_period",
                        "keywords": 48_120,
                        "history_from": "2026-02-01T00:00:00Z",
                        "history_to": "2026-03-01T00:00:00Z",
                        "published_at": "2026-03-01T01:12:00Z",
                        "age_seconds": 67_620,
                    },
                    "parsed_days": [],
                    "parity_days": [],
                }
            ]
        }
    )

    level: Level
    checked_at: datetime
    findings: list[Finding]
    stream: Stream
    consumer: ConsumerLag | None = Field(
        description="How far the stream is behind the topic, as it was last measured; null before the first time. "
        "`/kafka` waits for a measurement."
    )
    dead_letters: list[DeadLetters] = Field(description="Of the last seven days, by reason, most frequent first.")
    baselines: BaselineVersion | None
    parsed_days: list[ParsedDay] = Field(description="Newest first.")
    parity_days: list[ParityDay] = Field(description="Newest first.")


@router.get("/health", responses=documented(503))
def get_health(reader: Reader, meter: Meter) -> Health:
    """Tell how the system is."""
    now = datetime.now(UTC)
    stream, baselines = _stream(reader, now), _baselines(reader, now)
    parity = _days(reader, "parity_days", ParityDay)
    findings = [*_stream_findings(stream, now), *_baseline_findings(baselines, now), *_parity_findings(parity)]
    levels = {finding.level for finding in findings}
    return Health(
        level="down" if "down" in levels else "warning" if levels else "ok",
        checked_at=now,
        findings=findings,
        stream=stream,
        consumer=meter.last(),
        dead_letters=_dead_letters(reader),
        baselines=baselines,
        parsed_days=_days(reader, "parsed_days", ParsedDay),
        parity_days=parity,
    )


def _stream(reader: Database, now: datetime) -> Stream:
    newest, closed = _newest(reader, _WRITTEN), _newest(reader, _CLOSED)

    def delay(row: Row | None) -> float | None:
        return max((now - row["window_start"] - WINDOW).total_seconds(), 0.0) if row else None

    return Stream(
        last_window_start=newest["window_start"] if newest else None,
        last_window_posts=newest["posts"] if newest else None,
        last_closed_window_start=closed["window_start"] if closed else None,
        lag_seconds=delay(newest),
        watermark_delay_seconds=delay(closed),
        windows=_windows(reader, _shown(newest["window_start"], now)) if newest else [],
    )


def _newest(reader: Database, which: str) -> Row | None:
    return reader.row(f"{_WINDOWS} WHERE {which} ORDER BY window_start DESC LIMIT 1")


def _windows(reader: Database, span: Span) -> list[tuple[datetime, int | None]]:
    rows = reader.rows(
        f"{_WINDOWS} WHERE {_WRITTEN} AND window_start >= %(start)s AND window_start < %(end)s", span._asdict()
    )
    posts = {row["window_start"]: row["posts"] for row in rows}
    return [(start, posts.get(start)) for start in span.windows]


def _shown(newest: datetime, now: datetime) -> Span:
    """Return the 24 hours up to the newest window; up to now where the stream is behind, so that this is seen."""
    end = newest + WINDOW
    if LATE_AFTER < now - end < SHOWN_TIME:
        end = span_of(now, now).end
    return Span(end - SHOWN_TIME, end)


def _stream_findings(stream: Stream, now: datetime) -> list[Finding]:
    if stream.lag_seconds is None:
        advice = "Send posts: `python -m feed.produce …`; then start it: `python -m beam_pipelines.stream --runner=FlinkRunner --detach`."
        return [Finding(level="down", what="The stream has not written any window yet.", advice=advice)]
    if stream.lag_seconds > LATE_AFTER.total_seconds():
        what = f"The newest window ended {_ago(stream.lag_seconds)} ago."
        advice = "See whether the job runs (Flink's web UI, `make status`) and whether posts arrive (`python -m feed.produce`)."
        return [Finding(level="warning", what=what, advice=advice)]
    closed = stream.last_closed_window_start
    waiting = [start for start, posts in stream.windows if posts is not None and (closed is None or start > closed)]
    overdue = now - (waiting[0] + WINDOW) if waiting else timedelta(0)
    if overdue > STUCK_AFTER:
        # Early results of open windows go on meanwhile, so nothing else shows it.
        what = f"A window that ended {_ago(overdue.total_seconds())} ago has not closed, so nothing is confirmed."
        advice = "See which step's watermark stands still (Pipeline view, or Flink's web UI): what it waits for, or cannot keep up with, holds up all."
        return [Finding(level="warning", what=what, advice=advice)]
    return []


def _baselines(reader: Database, now: datetime) -> BaselineVersion | None:
    row = reader.row(
        f"""
        SELECT version, detector, keywords, history_from, history_to, published_at FROM baseline_versions
        WHERE version = ({IN_FORCE})
        """  # noqa: S608 - text of our own
    )
    if row is None:
        return None
    return BaselineVersion.model_validate({**row, "age_seconds": (now - row["history_to"]).total_seconds()})


def _baseline_findings(baselines: BaselineVersion | None, now: datetime) -> list[Finding]:
    day = (now - timedelta(days=1)).date()
    advice = f"Run the daily batch: `python -m beam_pipelines.parse --date {day}`, then `python -m beam_pipelines.stats --date {day}`"
    if baselines is None:
        what = "There are no baselines, so only what is extreme beside the hours before is found unusual."
        advice += ". Or learn from files of past counts: `python -m beam_pipelines.stats --counts …`"
        return [Finding(level="warning", what=what, advice=advice)]
    if baselines.age_seconds <= STALE_AFTER.total_seconds():
        return []
    what = f"The baselines know nothing of the last {_ago(baselines.age_seconds)}."
    return [Finding(level="warning", what=what, advice=advice)]


def _parity_findings(days: list[ParityDay]) -> list[Finding]:
    if not days or not days[0].unexplained:
        return []
    what = f"Stream and batch differ without a cause in {days[0].unexplained} keyword windows of {days[0].date}."
    return [
        Finding(
            level="warning", what=what, advice=f"See which: `python -m beam_pipelines.parity --date {days[0].date}`"
        )
    ]


# The count needs nothing but the index; of a bad week half a million rows would be read and sorted for seven examples.
_DEAD_LETTERS = """
    SELECT reason, count, last_seen_at, left(detail, 300) AS example
    FROM (
        SELECT reason, count(*) AS count, max(seen_at) AS last_seen_at FROM dead_letters
        WHERE seen_at > now() - %(days)s * interval '1 day' GROUP BY reason
    ) found
    CROSS JOIN LATERAL (
        SELECT detail FROM dead_letters newest
        WHERE newest.seen_at = found.last_seen_at AND newest.reason = found.reason LIMIT 1
    ) _
    ORDER BY count DESC, reason
"""


def _dead_letters(reader: Database) -> list[DeadLetters]:
    return [DeadLetters.model_validate(row) for row in reader.rows(_DEAD_LETTERS, {"days": DEAD_LETTER_DAYS})]


def _days(reader: Database, table: str, model: Any) -> list[Any]:
    """Read the newest days of a table that only the batch makes; none before it has run."""
    if table not in existing_tables(reader, [table]):
        return []
    rows = reader.rows(f"SELECT * FROM {table} ORDER BY date DESC LIMIT %(n)s", {"n": SHOWN_DAYS})  # noqa: S608 - one of two names of our own
    return [model.model_validate(row) for row in rows]


def _ago(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // 1440} days"
