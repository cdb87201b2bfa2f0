"""Incidents: outlier windows of a keyword that belong together, and what people say about them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from msgspec import Meta
from pydantic import BaseModel, ConfigDict, Field, computed_field

from dashboard import paging
from dashboard.database import Database, Row
from dashboard.outliers import RETURN_PERIOD, return_period
from dashboard.paging import CursorText, Limit
from dashboard.parameters import LARGEST_ID, NO_NUL, From, KeywordText, Kind, PostId, Severities, Status, To, folded
from dashboard.problems import ProblemError, documented
from dashboard.security import WriteAllowed
from dashboard.services import Editor, Reader
from detection.incidents import GAP_SECONDS

router = APIRouter(tags=["incidents"])

State = Literal["open", "closed", "retracted"]
Order = Literal["score", "newest"]
Verdict = Literal["useful", "not_useful"]

IncidentId = Annotated[int, Path(ge=1, le=LARGEST_ID)]

# What was said of an incident, wherever it began then: a first window may be retracted, or an earlier one be added. Others
# of the keyword and kind are further away than the gap.
_SAID_OF_IT = f"""
    f.keyword = i.keyword AND f.kind = i.kind
    AND f.opened_at BETWEEN i.opened_at - interval '{GAP_SECONDS} seconds' AND i.last_at
"""

# The judgement of the peak is the outlier's; an incident whose outlier is gone keeps its own figures.
SELECT = f"""
    SELECT i.incident_id, i.keyword, i.opened_at, i.last_at, i.closed_at, i.peak_at, i.peak_score, i.severity,
           i.state, i.status, i.shape, i.kind, i.peak_mentions, i.peak_expected, i.updated_at,
           o.lower AS peak_lower, o.upper AS peak_upper, o.p_value, o.tide, o.excess, o.detector,
           coalesce(o.sample_posts::text[], '{{}}') AS sample_posts,
           (SELECT f.verdict FROM feedback f WHERE {_SAID_OF_IT} ORDER BY f.opened_at DESC LIMIT 1) AS verdict,
           w.watch_id IS NOT NULL AS watched
    FROM incidents i
    LEFT JOIN outliers o ON o.keyword = i.keyword AND o.window_start = i.peak_at
    LEFT JOIN watchlist w ON w.keyword = i.keyword
"""  # noqa: S608 - text of our own

_WITHDRAW = f"DELETE FROM feedback f USING incidents i WHERE i.incident_id = %(incident_id)s AND {_SAID_OF_IT}"  # noqa: S608 - text of our own

_ORDERS: dict[Order, tuple[str, str, Any]] = {
    "score": (
        "peak_score",
        "i.peak_score DESC, i.incident_id DESC",
        tuple[float, Annotated[int, Meta(ge=0, le=LARGEST_ID)]],
    ),
    "newest": (
        "opened_at",
        "i.opened_at DESC, i.incident_id DESC",
        tuple[datetime, Annotated[int, Meta(ge=0, le=LARGEST_ID)]],
    ),
}

_EXAMPLE: dict[str, Any] = {
    "incident_id": 4711,
    "keyword": "dance",
    "opened_at": "2026-03-01T17:45:00Z",
    "last_at": "2026-03-01T18:30:00Z",
    "closed_at": None,
    "peak_at": "2026-03-01T18:15:00Z",
    "peak_score": 3.7,
    "severity": "critical",
    "state": "open",
    "status": "confirmed",
    "shape": "ramp_up",
    "kind": "surge",
    "peak_mentions": 412,
    "peak_expected": 61.4,
    "peak_lower": 44.0,
    "peak_upper": 82.0,
    "p_value": 3.1e-14,
    "tide": 6.2,
    "excess": 350.6,
    "detector": "return_period",
    "sample_posts": ["7341234567890123456"],
    "verdict": None,
    "watched": False,
    "updated_at": "2026-03-01T18:46:02Z",
    "return_period_days": 5_010.9,
}


class Incident(BaseModel):
    """Something unusual around a keyword, from its first outlier window to its last."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    incident_id: int
    keyword: str
    opened_at: datetime = Field(description="Start of the first outlier window.")
    last_at: datetime = Field(description="Start of the newest outlier window.")
    closed_at: datetime | None
    peak_at: datetime = Field(description="Start of the most unusual window.")
    peak_score: float = Field(description="How unusual the peak is; comparable between keywords.")
    severity: str
    state: State
    status: Status
    shape: str | None = Field(description="`pulse`, `ramp_up` or `mean_shift`; null while it cannot be told.")
    kind: Kind
    peak_mentions: int
    peak_expected: float
    peak_lower: float | None = Field(description="Lower end of the usual range at the peak.")
    peak_upper: float | None = Field(description="Upper end of the usual range at the peak.")
    p_value: float | None = Field(description="Probability of the peak if nothing is unusual.")
    tide: float | None = Field(description="Mentions at the peak that the growth of the whole platform explains.")
    excess: float | None = Field(description="The keyword's own mentions above what is explained, at the peak.")
    detector: str | None
    sample_posts: list[PostId] = Field(description="The posts of the peak with the most engagement, at most three.")
    verdict: Verdict | None = Field(description="What people said about it.")
    watched: bool = Field(description="Whether the keyword is on the watchlist.")
    updated_at: datetime

    @computed_field(description=RETURN_PERIOD)  # type: ignore[prop-decorator]
    @property
    def return_period_days(self) -> float | None:
        """How often the keyword does what it did at the peak."""
        return return_period(self.peak_score, self.detector)


class IncidentPage(BaseModel):
    """A page of incidents."""

    items: list[Incident]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")


class Feedback(BaseModel):
    """Whether an incident was worth knowing."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"verdict": "useful", "note": "Our campaign started."}]}
    )

    verdict: Verdict
    note: str | None = Field(default=None, max_length=2000, pattern=NO_NUL)


class GivenFeedback(Feedback):
    """Feedback with the time at which it was given."""

    given_at: datetime


@router.get("/incidents", responses=documented(400, 422, 503))
def list_incidents(
    reader: Reader,
    state: Annotated[list[State] | None, Query(max_length=3, description="By default `open` and `closed`.")] = None,
    severity: Severities = None,
    status: Annotated[list[Status] | None, Query(max_length=3, description="Only these; may be repeated.")] = None,
    kind: Annotated[Kind | None, Query(description="Surges or drops alone.")] = None,
    keyword: Annotated[KeywordText | None, Query(description="Only this keyword.")] = None,
    search: Annotated[KeywordText | None, Query(description="Only keywords that contain this text.")] = None,
    watched: Annotated[bool, Query(description="Only keywords on the watchlist.")] = False,
    start: From = None,
    end: To = None,
    order: Annotated[Order, Query(description="Most unusual peak first, or newest first.")] = "score",
    cursor: CursorText = None,
    limit: Limit = paging.DEFAULT_LIMIT,
) -> IncidentPage:
    """List incidents; `from` and `to` ask for those that were going on in between."""
    conditions = ["i.state = ANY(%(state)s)"]
    values: dict[str, Any] = {"state": state or ["open", "closed"], "limit": limit + 1}
    for condition, name, value in (
        ("i.severity = ANY(%(severity)s)", "severity", severity),
        ("i.status = ANY(%(status)s)", "status", status),
        ("i.kind = %(kind)s", "kind", kind),
        ("i.keyword = %(keyword)s", "keyword", keyword),
        ("strpos(i.keyword, %(search)s) > 0", "search", folded(search or "") or None),
        ("i.last_at >= %(start)s", "start", start),
        ("i.opened_at < %(end)s", "end", end),
    ):
        if value is not None:
            conditions.append(condition)
            values[name] = value
    if watched:
        conditions.append("w.watch_id IS NOT NULL")
    column, ordering, shape = _ORDERS[order]
    if cursor is not None:
        values["after"], values["after_id"] = paging.decode(cursor, f"incidents.{order}", shape)
        conditions.append(f"(i.{column}, i.incident_id) < (%(after)s, %(after_id)s)")
    found = reader.rows(f"{SELECT} WHERE {' AND '.join(conditions)} ORDER BY {ordering} LIMIT %(limit)s", values)
    rows, more = paging.split(found, limit)
    last = rows[-1] if more else None
    return IncidentPage(
        items=[Incident.model_validate(row) for row in rows],
        next_cursor=paging.encode(f"incidents.{order}", (last[column], last["incident_id"])) if last else None,
    )


@router.get("/incidents/{incident_id}", responses=documented(404, 422, 503))
def get_incident(incident_id: IncidentId, reader: Reader) -> Incident:
    """Return one incident."""
    return Incident.model_validate(_found(incident_id, find(reader, incident_id)))


@router.put(
    "/incidents/{incident_id}/feedback", responses=documented(401, 403, 404, 422, 503), dependencies=[WriteAllowed]
)
def give_feedback(incident_id: IncidentId, feedback: Feedback, editor: Editor) -> GivenFeedback:
    """Say whether an incident was worth knowing; replaces what was said before."""
    values = {"incident_id": incident_id, **feedback.model_dump()}
    with editor.transaction() as cursor:
        cursor.execute(_WITHDRAW, values)
        cursor.execute(
            """
            INSERT INTO feedback (keyword, kind, opened_at, verdict, note)
            SELECT keyword, kind, opened_at, %(verdict)s, %(note)s FROM incidents WHERE incident_id = %(incident_id)s
            ON CONFLICT (keyword, kind, opened_at) -- somebody else said it at the same time
            DO UPDATE SET verdict = excluded.verdict, note = excluded.note, given_at = excluded.given_at
            RETURNING verdict, note, given_at
            """,
            values,
        )
        row = cursor.fetchone()
    return GivenFeedback.model_validate(_found(incident_id, row))


@router.delete(
    "/incidents/{incident_id}/feedback",
    status_code=204,
    responses=documented(401, 403, 404, 422, 503),
    dependencies=[WriteAllowed],
)
def withdraw_feedback(incident_id: IncidentId, reader: Reader, editor: Editor) -> None:
    """Take back what was said about an incident; it is no error if nothing was."""
    _found(incident_id, find(reader, incident_id))
    with editor.transaction() as cursor:
        cursor.execute(_WITHDRAW, {"incident_id": incident_id})


def find(reader: Database, incident_id: int) -> Row | None:
    """Return the row of an incident, None if there is no such."""
    return reader.row(f"{SELECT} WHERE i.incident_id = %(incident_id)s", {"incident_id": incident_id})


def _found(incident_id: int, row: Row | None) -> Row:
    if row is None:
        raise ProblemError(404, "no-incident", f"There is no incident {incident_id}.")
    return row
