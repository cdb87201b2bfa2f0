"""Incidents on a real server: they follow the outliers through replay, retraction, disorder and concurrency."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import numpy as np
import psycopg2
import pyarrow as pa
import pytest

from detection.incidents import GAP_SECONDS
from local.settings import Settings
from transforms.mentions import MentionBatch
from transforms.outliers import Outlier, ScoredWindow
from transforms.sinks import write_scored
from transforms.windows import CountedWindow, Pane

pytestmark = pytest.mark.integration

START = 1_700_000_100
W = 900


def scored(
    index: int,
    *keywords: str,
    stage: Pane = Pane.ON_TIME,
    mentions: int = 50,
    score: float = 2.0,
    status: str = "",
    shard: int = 0,
    expected: float = 5.0,
) -> ScoredWindow:
    start, posts = START + index * W, 1000 + int(stage)
    none = np.empty(0, np.int64)
    window = CountedWindow(
        shard, stage, MentionBatch(start, posts, pa.array([], pa.string()), none, none.astype(np.uint8), none, none)
    )
    status = status or ("provisional" if stage is Pane.EARLY else "confirmed")
    severity = "none" if status == "retracted" else "medium"
    return ScoredWindow(window, [
        Outlier(keyword, start, mentions, expected, 0.0, 9.0, 1e-9, score, severity, status, 0.0, mentions - expected,
                [1], 7, "return_period", int(stage), posts)
        for keyword in keywords
    ])  # fmt: skip


def rows(connection: Any, columns: str = "keyword, opened_at, last_at, state") -> list[tuple[Any, ...]]:
    times = ("opened_at", "last_at", "closed_at", "peak_at")
    names = [
        f"(extract(epoch FROM {name})::bigint - {START}) / {W}" if name in times else name
        for name in columns.split(", ")
    ]
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(names)} FROM incidents ORDER BY keyword, opened_at, incident_id")
        return list(cursor)


def everything(connection: Any) -> list[tuple[Any, ...]]:
    return rows(connection, "incident_id, keyword, opened_at, last_at, state, status, shape, peak_score, updated_at")


def test_consecutive_windows_are_one_incident(connection: Any) -> None:
    for i, mentions in enumerate((20, 30, 45, 60, 80)):
        write_scored(connection, [scored(i, "dance", mentions=mentions, score=2 + i / 10)], 2)
    write_scored(connection, [scored(5)], 2)
    assert rows(
        connection,
        "keyword, opened_at, last_at, closed_at, peak_at, peak_score, severity, state, status, shape, kind, "
        "peak_mentions, peak_expected",
    ) == [("dance", 0, 4, None, 4, 2.4, "medium", "open", "confirmed", "ramp_up", "surge", 80, 5.0)]


def test_an_incident_is_provisional_until_one_of_its_windows_has_closed(connection: Any) -> None:
    write_scored(connection, [scored(0, "dance", stage=Pane.EARLY)], 2)
    (first,) = rows(connection, "incident_id, status, state")
    assert first[1:] == ("provisional", "open")
    write_scored(connection, [scored(0, "dance")], 2)
    assert rows(connection, "incident_id, status, state") == [(first[0], "confirmed", "open")]


def test_surges_and_drops_of_a_keyword_are_incidents_apart(connection: Any) -> None:
    for i in (0, 1, 4):
        write_scored(connection, [scored(i, "dance")], 2)
    for i in (2, 3):
        write_scored(connection, [scored(i, "dance", mentions=1)], 2)
    kinds = "keyword, kind, opened_at, last_at, peak_mentions, state"
    surge, drop = ("dance", "surge", 0, 4, 50, "open"), ("dance", "drop", 2, 3, 1, "open")
    assert rows(connection, kinds) == [surge, drop]
    for i in (2, 3):
        write_scored(connection, [scored(i, "dance", stage=Pane.LATE, mentions=1, status="retracted")], 2)
    assert rows(connection, kinds) == [surge, ("dance", "drop", 3, 3, 1, "retracted")]


def test_a_replay_changes_no_row(connection: Any) -> None:
    panes = [scored(0, "dance", stage=Pane.EARLY), scored(0, "dance"), scored(1, "dance", "ramen"), scored(9, "dance")]
    for pane in panes:
        write_scored(connection, [pane], 2)
    before = everything(connection)
    for pane in panes:
        write_scored(connection, [pane], 2)
    write_scored(connection, panes, 2)
    assert everything(connection) == before


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_of_windows_does_not_matter(connection: Any, order: tuple[int, ...]) -> None:
    panes = [scored(0, "dance"), scored(80, "dance"), scored(160, "dance"), scored(300, "dance")]
    for i in order:
        write_scored(connection, [panes[i]], 2)
    alive = [row for row in rows(connection) if row[-1] != "retracted"]
    assert alive == [("dance", 0, 160, "closed"), ("dance", 300, 300, "open")]


def test_a_retraction_shortens_splits_and_ends_an_incident(connection: Any) -> None:
    for i in (0, 80, 160):
        write_scored(connection, [scored(i, "dance")], 2)
    ((number,),) = rows(connection, "incident_id")
    write_scored(connection, [scored(80, "dance", stage=Pane.LATE, status="retracted")], 2)
    assert rows(connection, "incident_id, opened_at, last_at")[0] == (number, 0, 0)
    assert [row[1:3] for row in rows(connection)] == [(0, 0), (160, 160)]
    write_scored(connection, [scored(0, "dance", stage=Pane.LATE, status="retracted")], 2)
    assert [row[-1] for row in rows(connection)] == ["retracted", "open"]
    write_scored(connection, [scored(0, "dance", stage=Pane.LATE)], 2)
    assert rows(connection, "incident_id, state")[0] == (number, "closed")


def test_an_incident_closes_when_no_outlier_can_follow(connection: Any) -> None:
    gap = GAP_SECONDS // W
    write_scored(connection, [scored(3, "dance", shard=5), scored(3)], 2)
    write_scored(connection, [scored(3 + gap)], 2)
    assert rows(connection, "state, closed_at") == [("open", None)]
    write_scored(connection, [scored(4 + gap, stage=Pane.EARLY)], 2)
    assert rows(connection, "state, closed_at") == [("open", None)]
    write_scored(connection, [scored(4 + gap)], 2)
    assert rows(connection, "state, closed_at") == [("closed", 4)]
    write_scored(connection, [scored(3 + gap, "dance", shard=5)], 2)  # from a shard that lags
    assert rows(connection, "state, closed_at, last_at") == [("open", None, 3 + gap)]


def test_shards_and_zombies_write_at_the_same_time(connection: Any, stack: Settings) -> None:
    """Four writers, each with a part of the same keywords' windows."""
    keywords = tuple(f"k{i}" for i in range(30))
    errors: list[BaseException] = []

    def write(part: int) -> None:
        own = psycopg2.connect("")
        try:
            for i in range(part, 40, 4):
                write_scored(own, [scored(i, *(keywords if part % 2 else reversed(keywords)), shard=part)], 2)
        except psycopg2.Error as error:
            errors.append(error)
        finally:
            own.close()

    writers = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert errors == []
    assert rows(connection, "keyword, opened_at, last_at") == [(keyword, 0, 39) for keyword in sorted(keywords)]
