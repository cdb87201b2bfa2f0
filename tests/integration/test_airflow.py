"""The daily batch, run by Airflow on the real stack: a day of the archive becomes rows in Postgres."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import psycopg2
import pytest

from feed.simulation import Config, Simulation
from local import reset
from local.accounting import Recount
from local.settings import ROOT, Settings
from transforms.archive import Archiver
from transforms.posts import Rejected, decode_post
from transforms.records import RawBatch

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAY = date(2024, 5, 17)


def _archive(lake: str, lines: list[bytes]) -> None:
    """Put posts into the lake as the stream does."""
    last = int(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp() * 1000)
    timestamps_ms = []
    for line in lines:
        with suppress(Rejected):  # an unreadable post gets the time of the one before it
            last = int(decode_post(line, 2**52).time_stamp * 1000)
        timestamps_ms.append(last)
    archiver = Archiver(f"{lake}/raw")
    archiver.add(RawBatch("posts", 0, 0, timestamps_ms, lines))
    archiver.flush()


def _dags_test(stack: Settings, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local.airflow", "run", "dags", "test", "tiktok_daily", str(DAY), *options],
        cwd=ROOT,
        env=dict(stack.environment),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_day_of_the_archive_becomes_rows(stack: Settings) -> None:
    reset.empty(stack)
    lines = list(Simulation(Config(date=DAY, posts=400, events=2, share_unreadable=0.01, share_late=0)).lines())
    _archive(stack.environment["LAKE"], lines)

    done = _dags_test(stack)

    assert done.returncode == 0, (done.stdout + done.stderr)[-20_000:]
    expected = Recount.of(dict.fromkeys(lines))
    daily: Counter[str] = Counter()
    for (keyword, _), mentions in expected.mentions.items():
        daily[keyword] += mentions
    assert expected.dead > 0
    connection = psycopg2.connect("")

    def rows(query: str) -> list[tuple[Any, ...]]:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, {"day": DAY, "next": date(2024, 5, 18)})
            return list(cursor.fetchall())

    within = "seen_at >= %(day)s AND seen_at < %(next)s"
    assert rows(f"SELECT count(DISTINCT post_id), count(*) FROM posts WHERE {within}") == [
        (sum(expected.posts.values()), sum(expected.posts.values()))
    ]
    assert dict(rows("SELECT keyword, mentions FROM keyword_daily WHERE date = %(day)s")) == daily
    assert rows("SELECT history_to = %(next)s, keywords > 0 FROM baseline_versions") == [(True, True)]
    assert rows("SELECT dead_letters FROM parsed_days WHERE date = %(day)s") == [(expected.dead,)]
    # The stream did not run: nothing that it counted can contradict the batch.
    assert rows("SELECT unexplained, equal FROM parity_days WHERE date = %(day)s") == [(0, 0)]
    connection.close()


def test_a_param_out_of_its_range_is_refused(stack: Settings) -> None:
    done = _dags_test(stack, "--conf", '{"keep_days": 0}')
    assert done.returncode != 0
    assert "Invalid input for param keep_days" in done.stdout + done.stderr
