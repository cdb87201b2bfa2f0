"""The Postgres sink on a real server: newer panes replace older ones, whatever the order and however often they come."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import numpy as np
import psycopg2
import pyarrow as pa
import pytest

from detection.baselines import BaselineTable, keyword_hashes
from detection.threshold import NoState, ThresholdDetector
from transforms.mentions import MentionBatch
from transforms.outliers import ScoredWindow
from transforms.scoring import score_pane
from transforms.sinks import write_scored
from transforms.windows import CountedWindow, Pane

pytestmark = pytest.mark.integration

START = 1_700_000_100
TABLE = BaselineTable.build(
    7, "threshold", keyword_hashes(["dance"]), {"level": np.float32([2.0]), "dispersion": np.float32([1.0])}
)


def pane(stage: Pane, posts: int, mentions: int, keyword: str = "dance") -> ScoredWindow:
    one = np.ones(1, np.uint8)
    batch = MentionBatch(START, posts, pa.array([keyword]), np.array([mentions]), one, np.array([5]), np.array([9]))
    return score_pane(CountedWindow(0, stage, batch), TABLE, ThresholdDetector(), NoState(), take_in=False)[0]


def rows(connection: Any) -> tuple[Any, ...]:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT mentions, status, pane, posts, baseline_version, sample_posts FROM outliers")
        outliers = cursor.fetchall()
        cursor.execute("SELECT keyword, mentions, pane FROM keyword_windows")
        windows = cursor.fetchall()
        cursor.execute("SELECT posts, pane FROM window_totals")
        return outliers, windows, cursor.fetchall()


PANES = [pane(Pane.EARLY, 10, 6), pane(Pane.EARLY, 20, 9), pane(Pane.ON_TIME, 30, 12), pane(Pane.LATE, 31, 13)]
FINAL = ([(13, "confirmed", 2, 31, 7, [5])], [("dance", 13, 2)], [(31, 2)])


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_newest_pane_stays_in_whatever_order_panes_come(connection: Any, order: tuple[int, ...]) -> None:
    for i in order:
        write_scored(connection, [PANES[i]], min_mentions=2)
    assert rows(connection) == FINAL


def test_several_panes_of_a_window_in_one_transaction(connection: Any) -> None:
    write_scored(connection, PANES, min_mentions=2)
    write_scored(connection, PANES, min_mentions=2)
    assert rows(connection) == FINAL


def test_an_early_pane_writes_provisional_outliers_but_no_keyword_window(connection: Any) -> None:
    write_scored(connection, PANES[:1], min_mentions=2)
    assert rows(connection) == ([(6, "provisional", 0, 10, 7, [5])], [], [(10, 0)])


def calm(stage: Pane, posts: int, *keywords: str) -> ScoredWindow:
    """A pane whose shard remembers no outlier and sees none, as after a restart."""
    n = len(keywords)
    batch = MentionBatch(
        START, posts, pa.array(keywords), np.full(n, 3), np.ones(n, np.uint8), np.full(n, 5), np.full(n, 9)
    )
    return ScoredWindow(CountedWindow(0, stage, batch), [])


@pytest.mark.parametrize("told", [PANES[1], PANES[2]])
def test_what_was_told_before_a_fault_is_taken_back_by_the_closed_window(connection: Any, told: ScoredWindow) -> None:
    write_scored(connection, [told], min_mentions=2)
    write_scored(connection, [calm(Pane.ON_TIME, 30, "other", "dance")], min_mentions=2)
    assert [row[1:4] for row in rows(connection)[0]] == [("retracted", 1, 30)]
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT state FROM incidents")
        assert cursor.fetchall() == [("retracted",)]


def test_a_closed_window_tells_nothing_of_what_its_early_panes_saw_alone(connection: Any) -> None:
    write_scored(connection, [*PANES[:2], calm(Pane.ON_TIME, 30, "dance")], min_mentions=2)
    assert rows(connection) == ([], [("dance", 3, 1)], [(30, 1)])


@pytest.mark.parametrize(
    "other",
    [
        calm(Pane.EARLY, 30, "dance"),  # an open window decides nothing
        calm(Pane.ON_TIME, 29, "dance"),  # less is known to it than to what was told
        calm(Pane.LATE, 40, "other"),  # another shard: it does not count the keyword
    ],
)
def test_what_was_told_is_taken_back_by_no_other_pane(connection: Any, other: ScoredWindow) -> None:
    write_scored(connection, [PANES[2]], min_mentions=2)
    before = rows(connection)[0]
    write_scored(connection, [other], min_mentions=2)
    assert rows(connection)[0] == before


def test_below_the_floor_there_is_no_keyword_window(connection: Any) -> None:
    write_scored(connection, [pane(Pane.ON_TIME, 4, 1)], min_mentions=2)
    assert rows(connection) == ([], [], [(4, 1)])


def test_text_is_data_not_sql(connection: Any) -> None:
    hostile = "x'); DROP TABLE outliers; --"
    write_scored(connection, [pane(Pane.ON_TIME, 4, 3, hostile)], min_mentions=2)
    assert rows(connection)[1] == [(hostile, 3, 1)]


def test_two_writers_may_make_the_same_days_partition(connection: Any) -> None:
    """The second one has looked for it already, found nothing, and waits for the first."""
    day = "SELECT ensure_day_partition('keyword_windows', '1999-12-31')"
    errors: list[BaseException] = []
    other = psycopg2.connect("")

    def second() -> None:
        try:
            with other, other.cursor() as cursor:
                cursor.execute("SELECT to_regclass('keyword_windows_19991231')")
                cursor.execute(day)
        except psycopg2.Error as error:
            errors.append(error)

    with connection, connection.cursor() as cursor:
        cursor.execute(day)
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive()
    waiting.join(10)
    other.close()
    assert errors == []
