"""What grew on a day against its own past: keywords, challenges, sounds, musicians; by share of the platform's posts.

    python -m beam_pipelines.trends --date 2026-11-23

`beam_pipelines.stats` works them out each day. This does it again, without publishing baselines: for a day whose trends
are missing, or whose earlier days have been parsed since.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

from beam_pipelines.days import parse_date
from programs.errors import UserError, start
from programs.postgres import connect

TREND_DAYS: Final = 7
"""Days before the day that "usual" is the mean of, as far as they have been parsed; a day without a mention is a zero."""

LEAST_POSTS: Final = 10
"""Fewer posts on the day are no trend."""

DAMPING: Final = 10.0
"""Posts added to both sides of a growth: from 1 to 10 is less of a trend than from 1,000 to 5,000."""

_SOURCES: Final = {
    "keyword": "SELECT date, keyword AS name, NULL AS title, NULL AS artist, mentions AS posts FROM keyword_daily",
    "challenge": "SELECT date, challenge, NULL, NULL, posts FROM challenge_daily",
    "music": "SELECT date, music_id, music, artist, posts FROM music_daily",
    "musician": "SELECT date, artist, NULL, NULL, sum(posts) FROM music_daily WHERE artist <> '' GROUP BY date, artist",
}

_INSERT = """
WITH source (date, name, title, artist, posts) AS ({source}),
past AS (
    SELECT coalesce(sum(posts), 0) AS posts, count(*) AS days FROM parsed_days
    WHERE date >= %(from)s AND date < %(day)s AND posts > 0
),
before AS (
    SELECT name, sum(posts) AS posts FROM source
    WHERE date IN (SELECT date FROM parsed_days WHERE date >= %(from)s AND date < %(day)s) GROUP BY name
),
measured AS (
    SELECT today.*, past.days,
        coalesce(before.posts, 0) * volume.posts::float8 / nullif(past.posts, 0) AS usual
    FROM source today CROSS JOIN past CROSS JOIN (SELECT posts FROM parsed_days WHERE date = %(day)s) AS volume
    LEFT JOIN before USING (name)
    WHERE today.date = %(day)s AND today.posts >= %(least)s
)
INSERT INTO trends (date, kind, name, title, artist, posts, usual, days, growth)
    SELECT date, %(kind)s, name, title, artist, posts, coalesce(usual, 0), days,
        (posts + %(damping)s) / (usual + %(damping)s)
    FROM measured
"""


def write_trends(connection: Any, day: date) -> int:
    """Replace a parsed day's trends, in one transaction; return how many there are."""
    written = 0
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM trends WHERE date = %s", (day,))
        for kind, source in _SOURCES.items():
            values = {
                "kind": kind,
                "day": day,
                "from": day - timedelta(days=TREND_DAYS),
                "least": LEAST_POSTS,
                "damping": DAMPING,
            }
            cursor.execute(_INSERT.format(source=source), values)
            written += cursor.rowcount
    return written


def run(argv: Sequence[str]) -> int:
    """Write one day's trends."""
    parser = argparse.ArgumentParser(
        prog="python -m beam_pipelines.trends",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--date", required=True, help="the day, in UTC, such as 2026-11-23")
    day = parse_date(parser.parse_args(argv).date, "--date")
    connection = connect("trends")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM parsed_days WHERE date = %s", (day,))
        if cursor.rowcount == 0:
            msg = f"{day} has not been parsed: run `python -m beam_pipelines.parse --date {day}` first"
            raise UserError(msg)
    print(f"{day}: {write_trends(connection, day):,} trends")
    connection.close()
    return 0


if __name__ == "__main__":
    start(run)
