"""What a demo has put into the stack: so that the next one removes that without asking, and nothing else.

A note beside the stack's data says what a demo writes, and it is written before the data are: a demo that was interrupted
is known, too. What lies outside of the note is somebody else's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
from kafka import KafkaConsumer, TopicPartition

from beam_pipelines.flink import TERMINAL_STATES, Cluster
from local.settings import Settings
from transforms import lake

JOB = "tiktok-stream"
"""Name of the job that a demo starts."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOW = timedelta(minutes=15)


@dataclass(frozen=True)
class Note:
    """What a demo writes.

    Attributes:
        day: the simulated day.
        began: when the demo began.
        until: when it ended; while it runs, a time by which its next step is over.
        records: most posts that it has put into the topic.
    """

    day: date
    began: datetime
    until: datetime
    records: int

    def days(self) -> frozenset[str]:
        """Return the days (ISO, UTC) whose posts are the demo's: the simulated one, and those on which it ran."""
        ran = ((self.began + timedelta(days=i)).date() for i in range((self.until.date() - self.began.date()).days + 1))
        return frozenset(map(str, (self.day, *ran)))


NOTHING = Note(_EPOCH.date(), _EPOCH, _EPOCH, 0)
"""Of a stack in which no demo has run: whatever is there is somebody else's."""


class Notes:
    """Keeps the note of a stack.

    Args:
        settings: of the stack.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._file = settings.place("demo")

    def read(self) -> Note:
        """Return what the last demo has noted; ``NOTHING`` if none has, or in a way that cannot be read."""
        return read(self._file)

    def begin(self, day: date) -> None:
        """Note that a demo of that day begins, in an empty stack."""
        now = datetime.now(UTC)
        self._write(Note(day, now, now + timedelta(hours=1), 0))

    def expect(self, records: int = 0) -> None:
        """Note that within an hour so many posts more will be in the topic."""
        note = self.read()
        until = datetime.now(UTC) + timedelta(hours=1)
        self._write(replace(note, until=until, records=note.records + records))

    def end(self) -> None:
        """Note that nothing more comes; what was sent by then is counted."""
        note = replace(self.read(), until=datetime.now(UTC))
        with suppress(Exception):  # without Kafka it stays at what was to be sent
            note = replace(note, records=_records(self._settings))
        self._write(note)

    def _write(self, note: Note) -> None:
        partial = self._settings.place("demo.partial")
        partial.write_text(json.dumps(asdict(note), default=str) + "\n", encoding="utf-8")
        partial.rename(self._file)


def read(file: Path) -> Note:
    """Read a note; ``NOTHING`` if there is none, or none that can be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return Note(
            date.fromisoformat(found["day"]),
            datetime.fromisoformat(found["began"]),
            datetime.fromisoformat(found["until"]),
            int(found["records"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return NOTHING


def strangers(settings: Settings, note: Note) -> list[str]:
    """Tell in words what is in the stack and not in the note; ``settings.environment`` must be in ``os.environ``."""
    connection = psycopg2.connect("")
    try:
        with connection, connection.cursor() as cursor:
            found = in_tables(cursor, note)
    finally:
        connection.close()
    if (records := _records(settings)) > note.records:
        found.append(f"{records - note.records:,} posts in the topic {settings.topic_posts}")
    found += in_lake(lake.find(settings.environment["LAKE"]), note)
    return found + jobs(Cluster(str(settings.flink)).jobs(), note)


def in_tables(cursor: Any, note: Note) -> list[str]:
    """Tell what the tables hold that is not in the note."""
    day = datetime.combine(note.day, datetime.min.time(), UTC)
    values = {
        "day": day,
        "day_end": day + timedelta(days=1) if note != NOTHING else day,
        "began": note.began,
        # Posts that are sent now count in the window that has begun already.
        "window": note.began - _WINDOW,
        "until": note.until,
    }
    found = []
    for what, query in {
        "counts of other windows": "window_totals WHERE NOT (window_start >= %(day)s AND window_start < %(day_end)s)"
        " AND NOT (window_start > %(window)s AND window_start <= %(until)s)",
        "parsed posts of other days": "posts WHERE NOT (seen_at >= %(day)s AND seen_at < %(day_end)s)"
        " AND NOT (seen_at >= %(began)s AND seen_at <= %(until)s)",
        "other baselines": "baseline_versions WHERE NOT published_at BETWEEN %(began)s AND %(until)s",
    }.items():
        cursor.execute(f"SELECT EXISTS (SELECT FROM {query})", values)  # noqa: S608 - a text of our own
        if cursor.fetchone()[0]:
            found.append(what)
    return found


def in_lake(urls: Iterable[str], note: Note) -> list[str]:
    """Tell whether the lake holds anything of days that are not in the note."""
    days = note.days() if note != NOTHING else frozenset()
    stranger = next((url for url in urls if url.partition("/dt=")[2][:10] not in days), None)
    return [] if stranger is None else [f"objects of other days in the lake ({stranger})"]


def jobs(found: Iterable[Mapping[str, Any]], note: Note) -> list[str]:
    """Tell whether a job of the demo's name runs that the demo did not start."""
    began, until = note.began.timestamp() * 1000, note.until.timestamp() * 1000
    return [
        f"a running job {JOB} ({job['jid']})"
        for job in found
        if job["name"] == JOB and job["state"] not in TERMINAL_STATES and not began <= job["start-time"] <= until
    ]


def _records(settings: Settings) -> int:
    """Return how many posts the topic has ever been sent."""
    consumer = KafkaConsumer(bootstrap_servers=str(settings.kafka), enable_auto_commit=False)
    try:
        topic = settings.topic_posts
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        return sum(consumer.end_offsets(partitions).values())
    finally:
        consumer.close()
