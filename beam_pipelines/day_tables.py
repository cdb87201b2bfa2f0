"""A day in Postgres: beginning a parse, and publishing what it staged, all tables in one transaction.

Until ``publish`` commits, readers see the old day; afterwards the new one. A crash in between leaves the old one, and
staging tables that the next run of the day empties.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from psycopg2.extras import execute_values

from programs.errors import UserError
from transforms.copy_text import day_start
from transforms.staging import ParseRun

_LOCK_CLASS = 0x7061  # of advisory locks: one process parses a day
STAGING = (
    "staged_chunks",
    "staged_challenges",
    "staged_music",
    "staged_dead_letters",
    "staged_totals",
    "staged_uncounted",
)
RECENT_DAYS = 7
"""Parsed days before a day that say what is common on any day."""


@dataclass(frozen=True)
class DaySummary:
    """What ``parsed_days`` says of a day beside its counts.

    Attributes:
        objects: objects of the archive that held posts of the day.
        broken: addresses of those that could not be read.
        hashtags: hashtags on a large share of the posts, and that share.
        boilerplate: those that say nothing.
        duplicates: posts left out because their id came again.
        seconds: time that the parse took, up to here.
    """

    objects: int
    broken: Sequence[str]
    hashtags: Mapping[str, float]
    boilerplate: frozenset[str]
    duplicates: int
    seconds: float


def begin(connection: Any, day: date) -> ParseRun:
    """Lock a day for this process, and make its staging tables, empty.

    Raises:
        UserError: another process is parsing the day.
    """
    run = ParseRun(day.isoformat(), uuid.uuid4().hex)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", (_LOCK_CLASS, day.toordinal()))
        if not cursor.fetchone()[0]:
            cursor.execute("SELECT started_at FROM parse_runs WHERE date = %s", (day,))
            since = cursor.fetchone()
            msg = f"the day {day} is being parsed by another process{f', since {since[0]:%F %T %Z}' if since else ''}"
            raise UserError(msg)
        cursor.execute(
            "INSERT INTO parse_runs (date, run) VALUES (%s, %s) "
            "ON CONFLICT (date) DO UPDATE SET run = excluded.run, started_at = now()",
            (day, run.token),
        )
        _empty_staging(cursor, day)
        cursor.execute("SELECT stage_day(%s)", (day,))
    return run


def end(connection: Any, day: date) -> None:
    """Remove what is staged and unlock the day, whether it was published or not."""
    with connection, connection.cursor() as cursor:
        _empty_staging(cursor, day)
        cursor.execute("SELECT unstage_day(%s)", (day,))
        cursor.execute("SELECT pg_advisory_unlock(%s, %s)", (_LOCK_CLASS, day.toordinal()))


def _empty_staging(cursor: Any, day: date) -> None:
    for table in STAGING:
        cursor.execute(f"DELETE FROM {table} WHERE date = %s", (day,))  # noqa: S608 - names of our own


def staged_posts(connection: Any, day: date) -> int:
    """Return how many posts are staged."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(posts), 0) FROM staged_chunks WHERE date = %s", (day,))
        return int(cursor.fetchone()[0])


def common_before(connection: Any, day: date) -> list[set[str]]:
    """Return the common hashtags of each of the last parsed days before a day."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(array_agg(hashtag) FILTER (WHERE hashtag IS NOT NULL), '{}') FROM parsed_days "
            "LEFT JOIN common_hashtags USING (date) WHERE date < %s AND date >= %s AND posts > 0 GROUP BY date",
            (day, day - timedelta(days=RECENT_DAYS)),
        )
        return [set(tags) for (tags,) in cursor.fetchall()]


def parsed(connection: Any, day: date) -> bool:
    """Tell whether a day has been parsed."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM parsed_days WHERE date = %s)", (day,))
        return bool(cursor.fetchone()[0])


_DAILY = """
DELETE FROM keyword_daily WHERE date = %(day)s;
INSERT INTO keyword_daily (date, keyword, mentions)
    SELECT %(day)s, keyword, sum(mentions) FROM {windows} WHERE NOT keyword = ANY (%(boilerplate)s) GROUP BY keyword;
DELETE FROM challenge_daily WHERE date = %(day)s;
INSERT INTO challenge_daily (date, challenge, posts, engagement)
    SELECT date, challenge, sum(posts), sum(engagement) FROM staged_challenges WHERE date = %(day)s GROUP BY 1, 2;
DELETE FROM music_daily WHERE date = %(day)s;
INSERT INTO music_daily (date, music_id, music, artist, posts, engagement)
    SELECT date, music_id, (array_agg(music ORDER BY newest DESC, music))[1],
        (array_agg(artist ORDER BY newest DESC, music))[1], sum(posts), sum(engagement)
    FROM staged_music WHERE date = %(day)s GROUP BY 1, 2;
DELETE FROM uncounted WHERE date = %(day)s;
INSERT INTO uncounted (date, keyword, window_start, late, duplicates)
    SELECT date, keyword, window_start, sum(late), sum(duplicates) FROM staged_uncounted WHERE date = %(day)s
    GROUP BY 1, 2, 3;
DELETE FROM dead_letters WHERE seen_at >= %(start)s AND seen_at < %(end)s;
INSERT INTO dead_letters (topic, partition, "offset", seen_at, reason, detail, raw)
    SELECT topic, partition, "offset", seen_at, reason, detail, raw FROM staged_dead_letters WHERE date = %(day)s
    ON CONFLICT DO NOTHING;
DELETE FROM common_hashtags WHERE date = %(day)s;
"""

# The stream writes keyword_windows before window_totals; in that order here too, so that neither waits for the other.
# Of a window that it never closed the stream may have told early (pane 0): that is no count, and its keywords have none.
_SWAP = """
SELECT swap_day(%(day)s);
INSERT INTO window_totals AS old (window_start, posts, pane)
    SELECT window_start, coalesce(staged.posts, 0), 3
    FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '15 minutes', interval '15 minutes') AS window_start
    LEFT JOIN staged_totals staged USING (window_start)
    ON CONFLICT (window_start) DO UPDATE SET posts = excluded.posts, pane = excluded.pane,
        streamed = CASE WHEN old.pane IN (1, 2) THEN old.posts WHEN old.pane = 0 THEN NULL ELSE old.streamed END;
INSERT INTO parsed_days (date, posts, duplicates, late_posts, dead_letters, objects, broken_objects, seconds)
    VALUES (
        %(day)s, (SELECT coalesce(sum(posts), 0) FROM staged_totals WHERE date = %(day)s), %(duplicates)s,
        (SELECT coalesce(sum(late), 0) FROM uncounted WHERE date = %(day)s AND keyword = ''),
        (SELECT count(*) FROM staged_dead_letters WHERE date = %(day)s), %(objects)s, %(broken)s, %(seconds)s
    )
    ON CONFLICT (date) DO UPDATE SET posts = excluded.posts, duplicates = excluded.duplicates,
        late_posts = excluded.late_posts, dead_letters = excluded.dead_letters, objects = excluded.objects,
        broken_objects = excluded.broken_objects, seconds = excluded.seconds, parsed_at = now();
"""


def publish(connection: Any, run: ParseRun, summary: DaySummary) -> None:
    """Put the staged day in the place of the old one, in one transaction.

    Raises:
        UserError: another run of the day has begun since.
    """
    day = date.fromisoformat(run.date)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT run FROM parse_runs WHERE date = %s FOR UPDATE", (day,))
        if cursor.fetchone() != (run.token,):
            msg = f"another run of {day} has begun: this one publishes nothing"
            raise UserError(msg)
        cursor.execute("SET LOCAL work_mem = '256MB'")
        values = {
            "day": day,
            "start": day_start(day),
            "end": day_start(day + timedelta(days=1)),
            "boilerplate": sorted(summary.boilerplate),
            "objects": summary.objects,
            "broken": list(summary.broken),
            "duplicates": summary.duplicates,
            "seconds": summary.seconds,
        }
        cursor.execute(_DAILY.format(windows=run.staged("keyword_windows")), values)
        if summary.hashtags:
            execute_values(
                cursor,
                "INSERT INTO common_hashtags (date, hashtag, share, boilerplate) VALUES %s",
                [(day, tag, share, tag in summary.boilerplate) for tag, share in sorted(summary.hashtags.items())],
            )
        cursor.execute(_SWAP, values)
