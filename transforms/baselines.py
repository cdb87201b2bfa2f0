"""The baselines in force, read from Postgres: shared by the threads of a worker, renewed when a newer version is published.

They are no Beam side input. On Flink 1.19 with Beam 2.70 the step that had them as one (``PeriodicImpulse`` → load →
``AsSingleton``) could not be checkpointed: "KV cannot be cast to WindowedValue", at every checkpoint of a loaded job.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg2
import zstandard

from detection.baselines import BaselineTable
from transforms.postgres import persistently


def newest_version(connection: Any, detector: str) -> int:
    """Return the version of a detector's baselines that is in force; 0 if there is none.

    It is the one whose history goes furthest, of several the one published last: statistics of a day long past that are
    repeated teach nothing newer.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT version FROM baseline_versions "
            "WHERE detector = %s AND EXISTS (SELECT FROM baseline_tables t WHERE t.version = baseline_versions.version) "
            "ORDER BY history_to DESC, version DESC LIMIT 1",
            (detector,),
        )
        row = cursor.fetchone()
        return int(row[0]) if row else 0


def load_baselines(connection: Any, detector: str, version: int) -> BaselineTable:
    """Read one version; an empty table if it is 0 or there is no such version (any more)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT data FROM baseline_tables WHERE version = %s ORDER BY part", (version,))
        data = b"".join(part for (part,) in cursor)
    return BaselineTable.from_bytes(zstandard.decompress(data)) if data else BaselineTable.empty(detector)


class Baselines(Protocol):
    """Where scoring gets its table from."""

    def current(self) -> BaselineTable:
        """Return the table in force."""
        ...


@dataclass(frozen=True, eq=False)
class FixedBaselines:
    """One table for good: for a run on a file, and for tests."""

    table: BaselineTable

    def current(self) -> BaselineTable:
        """Return the table."""
        return self.table


class PostgresBaselines:
    """The table in force in Postgres, looked for every so many seconds; safe for threads.

    Args:
        detector: name of the detector whose baselines are wanted.
        every_seconds: time between two looks.
    """

    def __init__(self, detector: str, every_seconds: float) -> None:
        self._detector = detector
        self._every_seconds = every_seconds
        self._lock = threading.Lock()
        self._table: BaselineTable | None = None
        self._looked = 0.0

    def current(self) -> BaselineTable:
        """Return the table in force, as of ``every_seconds`` ago at most.

        Raises:
            psycopg2.OperationalError: Postgres stays away and no table has been read yet; afterwards the last one serves.
        """
        with self._lock:
            if self._table is None or time.monotonic() - self._looked >= self._every_seconds:
                if self._table is None:
                    self._table = persistently(self._newest)
                else:
                    with suppress(psycopg2.OperationalError):
                        self._table = self._newest()
                self._looked = time.monotonic()
            return self._table

    def _newest(self) -> BaselineTable:
        connection = psycopg2.connect("", application_name="baselines")
        try:
            version = newest_version(connection, self._detector)
            if self._table is not None and version == self._table.version:
                return self._table
            return load_baselines(connection, self._detector, version)
        finally:
            connection.close()
