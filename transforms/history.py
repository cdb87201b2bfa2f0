"""The history of counts that a detector learns from, out of Postgres: day by day in parallel, as Arrow columns."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import apache_beam as beam
import numpy as np
import psycopg2
import pyarrow as pa
from pyarrow import csv

from detection.counts import WINDOW_SECONDS, WINDOWS_PER_DAY, CountHistory
from transforms.copy_text import day_start

_COLUMNS = {"keyword": pa.string(), "window": pa.int64(), "mentions": pa.int64()}


def read_day(connection: Any, day: date) -> bytes:
    """Read a day's counts and totals.

    Returns:
        An Arrow stream: ``keyword`` (dictionary), ``window`` (epoch seconds), ``mentions``; in the schema's metadata the
        totals of the day's windows, float64.
    """
    start, end = day_start(day), day_start(day + timedelta(days=1))
    text = io.BytesIO()
    with connection, connection.cursor() as cursor:
        # COPY takes no parameters; both are dates of ours, not texts of somebody else.
        cursor.copy_expert(
            "COPY (SELECT keyword, extract(epoch FROM window_start)::bigint, mentions FROM keyword_windows "  # noqa: S608
            f"WHERE window_start >= '{start}' AND window_start < '{end}') TO STDOUT (FORMAT csv, FORCE_QUOTE (keyword))",
            text,
        )
        cursor.execute(
            "SELECT extract(epoch FROM window_start)::bigint, posts FROM window_totals "
            "WHERE window_start >= %s AND window_start < %s",
            (start, end),
        )
        volumes = cursor.fetchall()
    totals = np.full(WINDOWS_PER_DAY, np.nan)
    first = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    for window, posts in volumes:
        totals[(window - first) // WINDOW_SECONDS] = posts
    text.seek(0)
    table = _parse(text)
    words = table["keyword"].combine_chunks().dictionary_encode()
    table = table.set_column(0, "keyword", words).replace_schema_metadata({"totals": totals.tobytes()})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _parse(text: io.BytesIO) -> pa.Table:
    if not text.getbuffer().nbytes:
        return pa.table({name: pa.array([], kind) for name, kind in _COLUMNS.items()})
    return csv.read_csv(
        text,
        read_options=csv.ReadOptions(column_names=list(_COLUMNS)),
        convert_options=csv.ConvertOptions(column_types=_COLUMNS, strings_can_be_null=False),
    )


def join_days(days: Sequence[tuple[date, bytes]]) -> CountHistory:
    """Join consecutive days that ``read_day`` read.

    Raises:
        ValueError: there is no day, or one is missing between two.
    """
    days = sorted(days)
    if not days or any(b[0] - a[0] != timedelta(days=1) for a, b in itertools.pairwise(days)):
        msg = "a history is made of consecutive days"
        raise ValueError(msg)
    tables = [pa.ipc.open_stream(data).read_all() for _, data in days]
    totals = np.concatenate([np.frombuffer(table.schema.metadata[b"totals"]) for table in tables])
    joined = pa.concat_tables([table.replace_schema_metadata(None) for table in tables]).unify_dictionaries()
    words = joined["keyword"].combine_chunks()
    start = int(datetime.fromisoformat(f"{days[0][0]}T00:00:00+00:00").timestamp())
    return CountHistory(
        tuple(words.dictionary.to_pylist()),
        np.asarray(words.indices, dtype=np.int32),
        np.asarray(joined["window"], dtype=np.int64),
        np.asarray(joined["mentions"], dtype=np.int64),
        start,
        start + len(days) * WINDOWS_PER_DAY * WINDOW_SECONDS,
        totals,
    )


class _ReadDayFn(beam.DoFn):
    def process(self, element: str) -> Iterable[tuple[None, tuple[str, bytes]]]:
        connection = psycopg2.connect("", application_name="stats-history")
        try:
            yield None, (element, read_day(connection, date.fromisoformat(element)))
        finally:
            connection.close()


@dataclass
class ReadHistory(beam.PTransform):
    """Days, ``YYYY-MM-DD`` → one ``CountHistory`` of them all."""

    def expand(self, days: beam.PCollection[str]) -> beam.PCollection[CountHistory]:
        """Read the days in parallel, join them in one place."""
        return (
            days
            | "Spread" >> beam.Reshuffle()
            | "ReadDay" >> beam.ParDo(_ReadDayFn()).with_output_types(tuple[None, tuple[str, bytes]])
            | "Together" >> beam.GroupByKey()
            | "Join" >> beam.Map(lambda group: join_days([(date.fromisoformat(d), data) for d, data in group[1]]))
        )
