"""What tests of the daily batch share: posts, archives of them, runs of the parse, and what is in Postgres afterwards."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec
import psycopg2

from beam_pipelines import parse
from transforms.archive import Archiver
from transforms.records import RawBatch

IN_PROCESS = ("--direct_running_mode=in_memory", "--direct_num_workers=1")


def start_of(day: date) -> int:
    """First second of a day."""
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * 86_400


def raw_post(post_id: int, at: float, text: str = "", **more: object) -> bytes:
    """A post, one line of JSON."""
    item = {"id": str(post_id), "text": text} | more.pop("item", {})  # type: ignore[operator]
    return msgspec.json.encode({"itemInfos": item, "time_stamp": at, **more})


def archive(prefix: str, topic: str, lines: Sequence[tuple[float, bytes]], partition: int = 0, first: int = 0) -> None:
    """Archive lines that the source had at these times, epoch seconds, as the stream does."""
    archiver = Archiver(f"{prefix}/raw")
    times, values = [int(at * 1000) for at, _ in lines], [line for _, line in lines]
    archiver.add(RawBatch(topic, partition, first, times, values))
    archiver.flush()


def run_parse(prefix: str, *arguments: str) -> int:
    """Run the parse in this process."""
    return parse.run([f"--lake={prefix}", *IN_PROCESS, *arguments])


def lake_of(name: str) -> str:
    """A lake of the test's own."""
    return f"{os.environ['LAKE'].rstrip('/')}/{name}"


def query(statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows of a statement."""
    connection = psycopg2.connect("")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def snapshot(day: date) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that Postgres holds of a day, in a fixed order."""
    day_of = {
        "posts": "(seen_at AT TIME ZONE 'UTC')::date",
        "keyword_windows": "(window_start AT TIME ZONE 'UTC')::date",
        "window_totals": "(window_start AT TIME ZONE 'UTC')::date",
        "dead_letters": "(seen_at AT TIME ZONE 'UTC')::date",
        "keyword_daily": "date",
        "challenge_daily": "date",
        "music_daily": "date",
        "uncounted": "date",
        "common_hashtags": "date",
    }
    held = {table: query(f"SELECT * FROM {table} WHERE {of} = %s", day) for table, of in day_of.items()}
    held["parsed_days"] = query(
        "SELECT posts, duplicates, late_posts, dead_letters, objects, broken_objects FROM parsed_days WHERE date = %s",
        day,
    )
    return {table: sorted(rows, key=repr) for table, rows in held.items()}
