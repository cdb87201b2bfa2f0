"""The watchlist: keywords that a person follows, in named lists."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from psycopg2 import errors
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dashboard.database import Row
from dashboard.parameters import LARGEST_ID, NO_NUL, KeywordText
from dashboard.problems import ProblemError, documented
from dashboard.security import API, WriteAllowed
from dashboard.services import Editor, Reader
from transforms.text import typed_keywords

router = APIRouter(tags=["watchlist"])

DEFAULT_LIST = "General"
LARGEST_SIZE = 5_000

ListName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=NO_NUL, strip_whitespace=True)]
Note = Annotated[str, StringConstraints(max_length=2000, pattern=NO_NUL)]
WatchId = Annotated[int, Path(ge=1, le=LARGEST_ID)]

_EXAMPLE: dict[str, Any] = {"keyword": "dance", "list": "Campaign", "note": "Runs until April."}


class NewWatch(BaseModel):
    """A keyword to follow."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    keyword: KeywordText = Field(description="A word, hashtag or emoji; `#Dance` is kept as `dance`, as in posts.")
    list: ListName = DEFAULT_LIST
    note: Note | None = None


class WatchChange(BaseModel):
    """What to change about a followed keyword; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "Runs until May."}]})

    list: ListName | None = None
    note: Note | None = None


class Watch(BaseModel):
    """A followed keyword."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "watch_id": 3,
                    **_EXAMPLE,
                    "added_at": "2026-03-01T09:00:00Z",
                    "updated_at": "2026-03-01T09:00:00Z",
                    "open_incident": 4711,
                    "open_severity": "critical",
                    "incidents_7d": 2,
                    "last_incident_at": "2026-03-01T17:45:00Z",
                }
            ]
        }
    )

    watch_id: int
    keyword: str
    list: str
    note: str | None
    added_at: datetime
    updated_at: datetime
    open_incident: int | None = Field(description="The most unusual incident of the keyword that is open.")
    open_severity: str | None
    incidents_7d: int = Field(description="Incidents that opened in the last seven days.")
    last_incident_at: datetime | None


class Watchlist(BaseModel):
    """All followed keywords, by list and keyword."""

    items: list[Watch]
    lists: list[str] = Field(description="Names of the lists.")


_SELECT = """
    SELECT w.watch_id, w.keyword, w.list, w.note, w.added_at, w.updated_at,
           open.incident_id AS open_incident, open.severity AS open_severity,
           coalesce(recent.incidents, 0) AS incidents_7d, recent.last_incident_at
    FROM watchlist w
    LEFT JOIN LATERAL (
        SELECT i.incident_id, i.severity FROM incidents i
        WHERE i.keyword = w.keyword AND i.state = 'open' ORDER BY i.peak_score DESC, i.incident_id DESC LIMIT 1
    ) open ON true
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE i.opened_at > now() - interval '7 days') AS incidents,
               max(i.opened_at) AS last_incident_at
        FROM incidents i WHERE i.keyword = w.keyword AND i.state <> 'retracted'
    ) recent ON true
"""


@router.get("/watchlist", responses=documented(422, 503))
def get_watchlist(
    reader: Reader, name: Annotated[ListName | None, Query(alias="list", description="Only this list.")] = None
) -> Watchlist:
    """Return the followed keywords with how they are."""
    rows = reader.rows(f"{_SELECT} ORDER BY w.list, w.keyword")
    return Watchlist(
        items=[Watch.model_validate(row) for row in rows if name in {None, row["list"]}],
        lists=sorted({row["list"] for row in rows}),
    )


@router.post("/watchlist", status_code=201, responses=documented(401, 403, 409, 422, 503), dependencies=[WriteAllowed])
def add_watch(watch: NewWatch, editor: Editor, response: Response) -> Watch:
    """Follow a keyword."""
    values = {**watch.model_dump(), "keyword": as_keyword(watch.keyword)}
    if (editor.row("SELECT count(*) AS size FROM watchlist") or {"size": 0})["size"] >= LARGEST_SIZE:
        raise ProblemError(409, "watchlist-full", f"The watchlist holds {LARGEST_SIZE} keywords. Remove some first.")
    try:
        with editor.transaction() as cursor:
            cursor.execute(
                "INSERT INTO watchlist (keyword, list, note) VALUES (%(keyword)s, %(list)s, %(note)s) RETURNING watch_id",
                values,
            )
            watch_id = cursor.fetchone()["watch_id"]
    except errors.UniqueViolation:
        detail = f"“{values['keyword']}” is on the watchlist already."
        raise ProblemError(409, "watched-already", detail) from None
    response.headers["Location"] = f"{API}/watchlist/{watch_id}"
    return _one(editor, watch_id)


@router.get("/watchlist/{watch_id}", responses=documented(404, 422, 503))
def get_watch(watch_id: WatchId, reader: Reader) -> Watch:
    """Return one followed keyword."""
    return _one(reader, watch_id)


@router.patch("/watchlist/{watch_id}", responses=documented(401, 403, 404, 422, 503), dependencies=[WriteAllowed])
def change_watch(watch_id: WatchId, change: WatchChange, editor: Editor) -> Watch:
    """Change a followed keyword's list or note."""
    given = change.model_dump(exclude_unset=True)
    values = {"watch_id": watch_id, "list": given.get("list"), "note": given.get("note"), "noted": "note" in given}
    row = editor.row(
        """
        UPDATE watchlist SET list = coalesce(%(list)s, list),
            note = CASE WHEN %(noted)s THEN %(note)s ELSE note END, updated_at = now()
        WHERE watch_id = %(watch_id)s RETURNING watch_id
        """,
        values,
    )
    return _one(editor, _found(watch_id, row)["watch_id"])


@router.delete(
    "/watchlist/{watch_id}", status_code=204, responses=documented(401, 403, 404, 422, 503), dependencies=[WriteAllowed]
)
def remove_watch(watch_id: WatchId, editor: Editor) -> None:
    """Follow a keyword no longer."""
    row = editor.row("DELETE FROM watchlist WHERE watch_id = %(id)s RETURNING watch_id", {"id": watch_id})
    _found(watch_id, row)


def as_keyword(text: str) -> str:
    """Return the keyword that posts with this text count for.

    Raises:
        ProblemError: the text holds no keyword, or several.
    """
    found = typed_keywords(text)
    if len(found) != 1:
        what = (
            f"several keywords ({', '.join(found[:5])}): add them one by one" if found else "no keyword that is counted"
        )
        raise ProblemError(422, "not-a-keyword", f"“{text}” holds {what}.")
    return found[0]


def _one(database: Any, watch_id: int) -> Watch:
    row = database.row(f"{_SELECT} WHERE w.watch_id = %(watch_id)s", {"watch_id": watch_id})
    return Watch.model_validate(_found(watch_id, row))


def _found(watch_id: int, row: Row | None) -> Row:
    if row is None:
        raise ProblemError(404, "not-watched", f"The watchlist has no entry {watch_id}.")
    return row
