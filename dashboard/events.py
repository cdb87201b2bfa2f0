"""News as server-sent events: each incident that is new or was revised, to every open page.

One task looks into Postgres while anybody listens. A row's ``updated_at`` is the time at which its transaction
began, so one that commits late would lie behind a plain "newer than the last": each look goes back some time, and
what was told already is left out. Who resumes is told anew from as far back, as nobody knows what reached them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from dashboard.database import Database
from dashboard.incidents import SELECT, Incident
from dashboard.problems import ProblemError, documented

router = APIRouter(tags=["incidents"])

LOOK_BACK = timedelta(seconds=60)
PAGE = 500
QUEUE = 60
"""Looks with news that a listener may be behind, however many incidents each found."""
RETRY_MILLISECONDS = 3_000
LONGEST_ABSENCE = timedelta(hours=1)
"""Who was away longer is told nothing of the meantime: reading the list anew costs less."""

_log = logging.getLogger(__name__)
_REVISED = f"""
    {SELECT} WHERE i.updated_at >= %(since)s AND (i.updated_at, i.incident_id) > (%(after)s, %(after_id)s)
    ORDER BY i.updated_at, i.incident_id LIMIT %(page)s
"""

Revision = tuple[int, datetime]


class Newsroom:
    """Looks for news and hands it to all who listen.

    Args:
        reader: where the incidents are.
        poll_seconds: time between two looks.
        streams: listeners at a time.
    """

    def __init__(self, reader: Database, poll_seconds: float, streams: int) -> None:
        self._reader = reader
        self._poll_seconds = poll_seconds
        self._streams = streams
        self._queues: set[asyncio.Queue[list[Incident] | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def listen(self, since: datetime | None) -> AsyncIterator[Incident]:
        """Yield every incident revised from now on, and before that those revised since a time, if one is given.

        Some that were revised a little before that time come too.
        """
        queue: asyncio.Queue[list[Incident] | None] = asyncio.Queue(QUEUE)
        self._queues.add(queue)
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._look())
            if since is not None:
                for incident in await run_in_threadpool(self._revised, since - LOOK_BACK):
                    yield incident
            # Who is too slow for the queue is let go; a browser comes back and reads anew.
            while not self._closed and (found := await queue.get()) is not None:
                for incident in found:
                    yield incident
        finally:
            self._queues.discard(queue)

    def check_room(self) -> None:
        """See that one more may listen.

        Raises:
            ProblemError: too many do.
        """
        if len(self._queues) >= self._streams:
            raise ProblemError(503, "busy", f"{self._streams} pages listen already. Close some.", {"Retry-After": "30"})

    def close(self) -> None:
        """Let everybody go, so that the server can stop."""
        self._closed = True
        for queue in list(self._queues):
            _put(queue, None)

    async def _look(self) -> None:
        told: set[Revision] = set()
        newest: datetime | None = None
        while self._queues and not self._closed:
            try:
                if newest is None:
                    newest = await run_in_threadpool(self._clock)
                found = await run_in_threadpool(self._revised, newest - LOOK_BACK)
            except ProblemError as problem:
                _log.info("no news: %s", problem)
            else:
                if news := [one for one in found if (one.incident_id, one.updated_at) not in told]:
                    for queue in list(self._queues):
                        _put(queue, news)
                told = {(incident.incident_id, incident.updated_at) for incident in found}
                newest = max([newest, *(incident.updated_at for incident in found)])
            await asyncio.sleep(self._poll_seconds)

    def _clock(self) -> datetime:
        """Ask Postgres for the time: that is the clock that stamps the rows."""
        row = self._reader.row("SELECT now() AS now")
        assert row is not None
        now: datetime = row["now"]
        return now

    def _revised(self, since: datetime) -> list[Incident]:
        found: list[Incident] = []
        after, after_id = since, -1
        while True:
            rows = self._reader.rows(_REVISED, {"since": since, "after": after, "after_id": after_id, "page": PAGE})
            found.extend(Incident.model_validate(row) for row in rows)
            if len(rows) < PAGE:
                return found
            after, after_id = rows[-1]["updated_at"], rows[-1]["incident_id"]


def _put(queue: asyncio.Queue[list[Incident] | None], news: list[Incident] | None) -> None:
    if queue.full():
        queue.get_nowait()
        news = None
    queue.put_nowait(news)


async def _newsroom(request: Request) -> Newsroom:
    newsroom: Newsroom = request.app.state.newsroom
    newsroom.check_room()
    return newsroom


@router.get("/events", response_class=EventSourceResponse, responses=documented(422, 503))
async def stream_incidents(
    newsroom: Annotated[Newsroom, Depends(_newsroom)],
    last_event_id: Annotated[
        str | None, Header(description="`id` of the last event that was received; what came after it is sent first.")
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Send each incident that is new or was revised, as an event `incident` with the incident as its data."""
    yield ServerSentEvent(comment="listening", retry=RETRY_MILLISECONDS)
    async for incident in newsroom.listen(_last_seen(last_event_id)):
        yield ServerSentEvent(data=incident, event="incident", id=incident.updated_at.isoformat())


def _last_seen(event_id: str | None) -> datetime | None:
    try:
        seen = datetime.fromisoformat(event_id or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return seen if datetime.now(UTC) - seen < LONGEST_ABSENCE else None
