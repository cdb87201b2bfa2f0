"""The baselines in force, read from Postgres: shared by the threads of a worker, renewed when a newer version is published.

They are no Beam side input. On Flink 1.19 with Beam 2.70 the step that had them as one (``PeriodicImpulse`` → load →
``AsSingleton``) could not be checkpointed: "KV cannot be cast to WindowedValue", at every checkpoint of a loaded job.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg2
import zstandard

from detection.baselines import BaselineTable


def newest_version(connection: Any, detector: str) -> int:
    """Return the newest published version of a detector's baselines; 0 if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(max(version), 0) FROM baseline_versions "
            "WHERE detector = %s AND EXISTS (SELECT FROM baseline_tables t WHERE t.version = baseline_versions.version)",
            (detector,),
        )
        return int(cursor.fetchone()[0])


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
    """The newest table in Postgres, looked for every so many seconds; safe for threads.

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
        """Return the newest table, at most ``every_seconds`` old.

        Raises:
            psycopg2.OperationalError: Postgres is away and no table has been read yet; afterwards the last one serves.
        """
        with self._lock:
            if self._table is None or time.monotonic() - self._looked >= self._every_seconds:
                try:
                    self._table = self._newest()
                except psycopg2.OperationalError:
                    if self._table is None:
                        raise
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
