"""Sinks: Postgres, Kafka topics and lake objects. Each writes what a replay writes again only in place of itself."""

from __future__ import annotations

import os
from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, groupby
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from kafka import KafkaProducer
from psycopg2.extras import execute_values

from transforms import incidents, lake
from transforms.dead_letters import DeadLetter
from transforms.outliers import Outlier, ScoredWindow
from transforms.postgres import Session, timestamptz
from transforms.sources.security import kafka_python_settings
from transforms.windows import CountedWindow, Pane

_UPSERT_WINDOWS = """
    INSERT INTO keyword_windows AS old (keyword, window_start, mentions, pane)
    SELECT keyword, %(start)s, mentions, pane
    FROM unnest(string_to_array(%(keywords)s, E'\\n'), %(mentions)s::bigint[], %(panes)s::smallint[])
        AS new (keyword, mentions, pane)
    ORDER BY keyword
    ON CONFLICT (keyword, window_start) DO UPDATE SET mentions = excluded.mentions, pane = excluded.pane
    WHERE (old.pane, old.mentions) <= (excluded.pane, excluded.mentions)
"""
_UPSERT_TOTALS = """
    INSERT INTO window_totals AS old (window_start, posts, pane) VALUES %s
    ON CONFLICT (window_start) DO UPDATE SET posts = excluded.posts, pane = excluded.pane
    WHERE (old.pane, old.posts) <= (excluded.pane, excluded.posts)
"""
_STANDING = """
    SELECT extract(epoch FROM window_start)::bigint, keyword FROM outliers
    WHERE window_start = ANY(%s) AND status <> 'retracted'
"""
_TAKE_BACK = """
    UPDATE outliers SET status = 'retracted', severity = 'none', pane = %(pane)s, posts = %(posts)s
    WHERE window_start = %(start)s AND keyword = ANY(%(keywords)s)
    AND status <> 'retracted' AND (pane, posts) <= (%(pane)s, %(posts)s)
"""
_OUTLIER_COLUMNS = Outlier._fields
_UPSERT_OUTLIERS = f"""
    INSERT INTO outliers AS old ({", ".join(_OUTLIER_COLUMNS)}) VALUES %s
    ON CONFLICT (keyword, window_start) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _OUTLIER_COLUMNS[2:])}
    WHERE (old.pane, old.posts) <= (excluded.pane, excluded.posts)
"""  # noqa: S608 - column names of our own


def write_scored(connection: Any, scored: Sequence[ScoredWindow], min_mentions: int) -> None:
    """Write scored windows in one transaction; counts and outliers of a newer pane replace those of an older.

    Outliers in the table that a closed window does not confirm are retracted. The incidents of the keywords with outliers
    follow, in the same transaction.
    """
    windows: dict[tuple[int, int], CountedWindow] = {}
    totals: dict[int, tuple[Any, ...]] = {}
    told: dict[tuple[int, int], dict[tuple[str, int], tuple[Any, ...]]] = {}
    # Later panes overwrite earlier ones here too: one statement may not touch a row twice.
    for item in sorted(scored, key=lambda item: item.age):
        counts, start = item.window.counts, timestamptz(item.window.counts.window_start)
        place = counts.window_start, item.window.shard
        if item.window.shard == 0:
            totals[counts.window_start] = (start, counts.posts, int(item.window.pane))
        if item.window.pane is not Pane.EARLY:
            windows[place] = item.window
            told.pop(place, None)  # a closed window says all there is to say
        here = told.setdefault(place, {})
        for outlier in item.outliers:
            here[outlier.keyword, outlier.window_start] = outlier._replace(window_start=start)  # type: ignore[arg-type]
    outliers = {key: row for here in told.values() for key, row in here.items()}
    with connection, connection.cursor() as cursor:
        forgotten = _forgotten(cursor, windows.values(), outliers)
        touched: dict[str, list[int]] = {}
        for keyword, window_start in outliers:
            touched.setdefault(keyword, []).append(window_start)
        for window, keywords in forgotten:
            for keyword in keywords:
                touched.setdefault(keyword, []).append(window.counts.window_start)
        incidents.lock(cursor, touched)
        # Rows in key order, here and below: two writers can then not wait for each other.
        _write_windows(cursor, [windows[key] for key in sorted(windows)], min_mentions)
        for statement, rows in ((_UPSERT_TOTALS, totals), (_UPSERT_OUTLIERS, outliers)):
            if rows:
                execute_values(cursor, statement, [rows[key] for key in sorted(rows)], page_size=5_000)  # type: ignore[index]
        _take_back(cursor, forgotten)
        incidents.renew(cursor, touched)
        if any(item.window.shard == 0 and item.window.pane is not Pane.EARLY for item in scored):
            incidents.close(cursor)


def _forgotten(
    cursor: Any, windows: Collection[CountedWindow], outliers: Container[tuple[str, int]]
) -> list[tuple[CountedWindow, list[str]]]:
    """Return closed windows with the keywords whose outliers stand in the table and of which the window knows nothing.

    A shard retracts what it remembers to have told. But after a fault it remembers what it did at the last checkpoint,
    and may have told more.
    """
    if not windows:
        return []
    cursor.execute(_STANDING, ([timestamptz(start) for start in {window.counts.window_start for window in windows}],))
    standing: dict[int, set[str]] = {}
    for start, keyword in cursor.fetchall():
        if (keyword, start) not in outliers:
            standing.setdefault(start, set()).add(keyword)
    return [
        (window, sorted(told.intersection(window.counts.words())))
        for window in windows
        if (told := standing.get(window.counts.window_start))
    ]


def _take_back(cursor: Any, forgotten: Iterable[tuple[CountedWindow, list[str]]]) -> None:
    for window, keywords in forgotten:
        if keywords:
            start, posts = timestamptz(window.counts.window_start), window.counts.posts
            values = {"start": start, "keywords": keywords, "pane": int(window.pane), "posts": posts}
            cursor.execute(_TAKE_BACK, values)


def _write_windows(cursor: Any, windows: Sequence[CountedWindow], min_mentions: int) -> None:
    """Write the keywords of windows, a statement for each start; the windows of a start are of different shards."""
    statements: list[dict[str, Any]] = []
    for start, group in groupby(windows, lambda window: window.counts.window_start):
        keywords: list[str] = []
        mentions: list[int] = []
        panes: list[int] = []
        for window in group:
            enough = window.counts.mentions >= min_mentions
            keywords += compress(window.counts.words(), enough.tolist())
            mentions += window.counts.mentions[enough].tolist()
            panes += [int(window.pane)] * int(enough.sum())
        if keywords:
            # Three texts instead of thousands of rows: a keyword holds no line break.
            texts = {"keywords": "\n".join(keywords), "mentions": _array(mentions), "panes": _array(panes)}
            statements.append({"start": timestamptz(start), **texts})
    for day in sorted({statement["start"].date() for statement in statements}):
        cursor.execute("SELECT ensure_day_partition('keyword_windows', %s)", (day,))
    for statement in statements:
        cursor.execute(_UPSERT_WINDOWS, statement)


def _array(numbers: Sequence[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"


class _WriteToPostgresFn(beam.DoFn):
    def __init__(self, min_mentions: int) -> None:
        self._min_mentions = min_mentions
        self._retries = Metrics.counter("WriteToPostgres", "retries")

    def setup(self) -> None:
        self._session = Session("stream")

    def start_bundle(self) -> None:
        self._scored: list[ScoredWindow] = []

    def process(self, element: ScoredWindow) -> None:
        self._scored.append(element)

    def finish_bundle(self) -> None:
        if self._scored:
            self._session.run(
                lambda connection: write_scored(connection, self._scored, self._min_mentions), self._retries.inc
            )

    def teardown(self) -> None:
        self._session.close()


@dataclass
class WriteToPostgres(beam.PTransform):
    """Writes ``ScoredWindow``s to ``keyword_windows``, ``window_totals``, ``outliers`` and ``incidents``.

    Attributes:
        min_mentions: keywords with fewer mentions in a window get no row in ``keyword_windows``; the batch completes it.
    """

    min_mentions: int

    def expand(self, scored: beam.PCollection[ScoredWindow]) -> beam.PCollection[None]:
        """Upsert the windows of each bundle in one transaction."""
        return scored | "Upsert" >> beam.ParDo(_WriteToPostgresFn(self.min_mentions))


class _WriteToTopicFn(beam.DoFn):
    def __init__(self, topic: str, bootstrap_servers: str) -> None:
        self._topic = topic
        self._bootstrap_servers = bootstrap_servers

    def setup(self) -> None:
        self._producer = KafkaProducer(
            bootstrap_servers=self._bootstrap_servers.split(","),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            **kafka_python_settings(os.environ),
        )

    def start_bundle(self) -> None:
        self._sent: list[Any] = []

    def process(self, element: list[Any]) -> None:
        for message in element:
            self._sent.append(self._producer.send(self._topic, message.to_message(), key=message.key.encode()))

    def finish_bundle(self) -> None:
        self._producer.flush()
        for future in self._sent:
            future.get(timeout=60)  # raises what went wrong: the bundle is then tried again

    def teardown(self) -> None:
        self._producer.close()


@dataclass
class WriteToTopic(beam.PTransform):
    """Sends lists of ``Outlier`` or ``DeadLetter`` to a Kafka topic; the key tells a consumer what a repeat is.

    How to log in is said by the environment: see ``transforms.sources.security``.

    Attributes:
        topic: name of the topic.
        bootstrap_servers: ``HOST:PORT``, comma-separated.
    """

    topic: str
    bootstrap_servers: str

    def expand(self, messages: beam.PCollection[list[Any]]) -> beam.PCollection[None]:
        """Send the messages; they are acknowledged before the bundle ends."""
        return messages | "Send" >> beam.ParDo(_WriteToTopicFn(self.topic, self.bootstrap_servers))


def put_outliers(scored: ScoredWindow, prefix: str) -> None:
    """Write the outliers of a pane as one object, named by window, shard and pane."""
    start = timestamptz(scored.window.counts.window_start)
    name = f"outliers-{start:%Y%m%dT%H%M}Z-{scored.window.shard:03d}-{int(scored.window.pane)}.ndjson"
    url = f"{prefix}/dt={start:%Y-%m-%d}/hh={start:%H}/{name}"
    lake.put(url, b"".join(outlier.to_json() + b"\n" for outlier in scored.outliers))


def put_dead_letters(letters: Sequence[DeadLetter], prefix: str) -> None:
    """Write the dead letters of a batch as one object; each line has its source position, for readers to de-duplicate."""
    first = letters[0]
    at = timestamptz(first.timestamp_ms / 1000)
    position = f"{lake.named_after(first.topic)}-{first.partition}-{first.offset:020d}"
    url = f"{prefix}/dt={at:%Y-%m-%d}/hh={at:%H}/dead-{position}.ndjson"
    lake.put(url, b"".join(letter.to_json() + b"\n" for letter in letters))
