"""Server-sent events over a running server: what is told, once, in order, and after a pause."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.dashboard.world import World

pytestmark = pytest.mark.integration


@contextmanager
def listening(server: str, headers: dict[str, str] | None = None) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield the events as they come, each as its id and its incident."""
    with httpx.stream("GET", f"{server}/api/v1/events", headers=headers, timeout=20) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.iter_lines()
        assert next(lines) == ": listening"

        def events() -> Iterator[dict[str, Any]]:
            found: dict[str, Any] = {}
            for line in lines:
                name, _, value = line.partition(": ")
                if name in {"event", "id", "data"}:
                    found[name] = json.loads(value) if name == "data" else value
                elif not line and "data" in found:
                    yield found
                    found = {}

        yield events()


def revise(admin: Any, keyword: str, ago: timedelta = timedelta()) -> datetime:
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "UPDATE incidents SET updated_at = clock_timestamp() - %s WHERE keyword = %s RETURNING updated_at",
            (ago, keyword),
        )
        stamp: datetime = cursor.fetchone()[0]
        return stamp


def of(events: Iterator[dict[str, Any]], keyword: str, stamp: datetime) -> dict[str, Any]:
    """Return the event of a revision; other incidents may be told before it."""
    return next(
        event
        for event in events
        if event["data"]["keyword"] == keyword and datetime.fromisoformat(event["data"]["updated_at"]) == stamp
    )


def test_a_revised_incident_is_told_once(server: str, admin: Any, world: World) -> None:
    with listening(server) as events:
        first = of(events, "lofi", revise(admin, "lofi"))
        assert first["event"] == "incident"
        assert first["data"]["incident_id"] == world.incidents["lofi"]
        seen = [first["data"]["keyword"]]
        stamp = revise(admin, "ramen")
        for event in events:
            seen.append(event["data"]["keyword"])
            if event["data"]["keyword"] == "ramen" and datetime.fromisoformat(event["id"]) == stamp:
                break
    assert seen.count("lofi") == 1


@pytest.fixture
def flood(admin: Any, world: World) -> Iterator[list[int]]:
    """Many incidents, revised so long ago that no listener is told of them; retracted, so that no list shows them."""
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "INSERT INTO incidents (keyword, opened_at, peak_at, peak_score, state, shape, last_at, severity, status, kind,"
            " peak_mentions, peak_expected, updated_at) SELECT 'flood', at, at, 1, 'retracted', 'pulse', at, 'low', 'confirmed',"
            " 'surge', 9, 3, at FROM generate_series(%s - interval '2499 minutes', %s, interval '1 minute') AS at"
            " RETURNING incident_id",
            (world.newest - timedelta(days=30), world.newest - timedelta(days=30)),
        )
        ids = [number for (number,) in cursor.fetchall()]
    yield ids
    with admin, admin.cursor() as cursor:
        cursor.execute("DELETE FROM incidents WHERE keyword = 'flood'")


def test_a_flood_is_told_to_its_end(server: str, admin: Any, flood: list[int]) -> None:
    with listening(server) as events:
        of(events, "lofi", revise(admin, "lofi"))
        revise(admin, "flood")
        found: set[int] = set()
        while len(found) < len(flood):  # on this connection: a listener that is let go would be told nothing of it
            event = next(events)
            if event["data"]["keyword"] == "flood":
                found.add(event["data"]["incident_id"])
    assert found == set(flood)


def test_a_row_that_commits_late_is_told(server: str, admin: Any, world: World) -> None:
    with listening(server) as events:
        of(events, "lofi", revise(admin, "lofi"))
        # Its transaction began, and took its time stamp, before the revision that was told already.
        of(events, "booktok", revise(admin, "booktok", timedelta(seconds=20)))


def test_who_comes_back_hears_of_a_row_that_committed_late(server: str, admin: Any, world: World) -> None:
    seen = revise(admin, "sneakers", timedelta(minutes=5))
    late = revise(admin, "booktok", timedelta(minutes=5, seconds=20))  # its transaction began before, and was not told
    with listening(server, {"Last-Event-ID": seen.isoformat()}) as events:
        newest = revise(admin, "ramen")
        told = []
        for event in events:
            told.append((event["data"]["keyword"], datetime.fromisoformat(event["data"]["updated_at"])))
            if told[-1] == ("ramen", newest):
                break
    assert ("booktok", late) in told


def test_who_comes_back_hears_what_was_missed(server: str, admin: Any, world: World) -> None:
    missed = revise(admin, "sneakers", timedelta(minutes=5))
    before = (missed - timedelta(seconds=1)).isoformat()
    with listening(server, {"Last-Event-ID": before}) as events:
        of(events, "sneakers", missed)
    with listening(server, {"Last-Event-ID": "nonsense"}) as events:
        of(events, "ramen", revise(admin, "ramen"))
