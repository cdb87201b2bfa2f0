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
from transforms.readable import hashtag

TREND_DAYS: Final = 7
"""Days before the day that "usual" is the mean of, as far as they have been parsed; a day without a mention is a zero, one
on which the name was boilerplate is left out."""

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

# A name that was boilerplate on a day has no row of it, which is no zero: the day does not count for that name. One that
# was boilerplate on all days has nothing to be compared with, and is no trend.
_INSERT = """
WITH source (date, name, title, artist, posts) AS ({source}),
past_days AS (SELECT date, posts FROM parsed_days WHERE date >= %(from)s AND date < %(day)s AND posts > 0),
past AS (SELECT coalesce(sum(posts), 0) AS posts, count(*) AS days FROM past_days),
unknown AS (
    SELECT name, sum(posts) AS posts, count(*) AS days
    FROM unnest(%(unknown)s::text[], %(unknown_on)s::date[]) AS was_boilerplate (name, date) JOIN past_days USING (date)
    GROUP BY name
),
before AS (
    SELECT name, sum(posts) AS posts FROM source WHERE date IN (SELECT date FROM past_days) GROUP BY name
),
measured AS (
    SELECT today.*, past.days - coalesce(unknown.days, 0) AS days,
        coalesce(before.posts, 0) * volume.posts::float8 / nullif(past.posts - coalesce(unknown.posts, 0), 0) AS usual
    FROM source today CROSS JOIN past CROSS JOIN (SELECT posts FROM parsed_days WHERE date = %(day)s) AS volume
    LEFT JOIN before USING (name) LEFT JOIN unknown USING (name)
    WHERE today.date = %(day)s AND today.posts >= %(least)s AND (past.days = 0 OR past.days > coalesce(unknown.days, 0))
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
        unknown = _unknown(cursor, day)
        for kind, source in _SOURCES.items():
            values = {
                "unknown": [name for name, _ in unknown.get(kind, ())],
                "unknown_on": [on for _, on in unknown.get(kind, ())],
                "kind": kind,
                "day": day,
                "from": day - timedelta(days=TREND_DAYS),
                "least": LEAST_POSTS,
                "damping": DAMPING,
            }
            cursor.execute(_INSERT.format(source=source), values)
            written += cursor.rowcount
    return written


def _unknown(cursor: Any, day: date) -> dict[str, list[tuple[str, date]]]:
    """Return, by kind, names and the days before a day on which they were boilerplate and so have no figure."""
    cursor.execute(
        "SELECT hashtag, date FROM common_hashtags WHERE boilerplate AND date >= %s AND date < %s",
        (day - timedelta(days=TREND_DAYS), day),
    )
    keywords: list[tuple[str, date]] = cursor.fetchall()
    days: dict[str | None, list[date]] = {}
    for keyword, on in keywords:
        days.setdefault(keyword, []).append(on)
    # A challenge has the name that its author wrote; which hashtag that is SQL cannot tell.
    cursor.execute("SELECT challenge FROM challenge_daily WHERE date = %s AND posts >= %s", (day, LEAST_POSTS))
    challenges = [(name, on) for (name,) in cursor.fetchall() for on in days.get(hashtag(name), ())]
    return {"keyword": keywords, "challenge": challenges}


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
