"""Reading and writing Postgres: few connections, a limit on every query, and errors that say what to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import errors, extensions
from psycopg2.extras import RealDictCursor

from dashboard.config import Login
from dashboard.problems import ProblemError

CONNECT_SECONDS = 3
QUEUE_SECONDS = 3.0
"""How long a request waits for a free connection before it is told to come again."""

Row = Mapping[str, Any]
Parameters = Mapping[str, Any]


class Database:
    """One login's connections; safe for threads.

    Args:
        postgres: libpq's ``host``, ``port`` and ``dbname``.
        login: who logs in.
        query_seconds: time that one query may take.
        connections: connections at a time.
        read_only: refuse to write, whatever the login may do.
    """

    def __init__(
        self,
        postgres: Mapping[str, str],
        login: Login,
        query_seconds: float,
        connections: int,
        *,
        read_only: bool,
    ) -> None:
        self._arguments = {
            **postgres,
            "user": login.user,
            "password": login.password,
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "dashboard",
            "options": " ".join(
                f"-c {name}={value}"
                for name, value in {
                    "statement_timeout": round(query_seconds * 1000),
                    "lock_timeout": round(query_seconds * 1000),
                    "idle_in_transaction_session_timeout": 10_000,
                    "default_transaction_read_only": "on" if read_only else "off",
                    "timezone": "UTC",
                    "search_path": "public",
                    "jit": "off",  # compiling takes longer than any of these queries
                }.items()
            ),
        }
        self._free: list[Any] = []
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(connections)

    def rows(self, query: str, parameters: Parameters | None = None) -> list[Row]:
        """Return all rows of a query, as mappings by column name.

        Raises:
            ProblemError: Postgres is away, lacks the tables, is too busy, or took too long.
        """
        with self.transaction() as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())

    def row(self, query: str, parameters: Parameters | None = None) -> Row | None:
        """Return the only row of a query, None if it has none; raises as ``rows`` does."""
        found = self.rows(query, parameters)
        return found[0] if found else None

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor in a transaction of its own; raises as ``rows`` does."""
        if not self._slots.acquire(timeout=QUEUE_SECONDS):
            raise ProblemError(503, "busy", "All connections to Postgres are in use. Try again.", {"Retry-After": "2"})
        connection = None
        try:
            with _told():
                connection = self._take()
                with connection, connection.cursor() as cursor:
                    yield cursor
        finally:
            if connection is not None:
                self._give_back(connection)
            self._slots.release()

    def close(self) -> None:
        """End the connections that are not in use."""
        with self._lock:
            while self._free:
                self._free.pop().close()

    def _take(self) -> Any:
        with self._lock:
            connection = self._free.pop() if self._free else None
        if connection is not None and _alive(connection):
            return connection
        return psycopg2.connect(cursor_factory=RealDictCursor, **self._arguments)

    def _give_back(self, connection: Any) -> None:
        if connection.closed or connection.get_transaction_status() != extensions.TRANSACTION_STATUS_IDLE:
            connection.close()
            return
        with self._lock:
            self._free.append(connection)


def _alive(connection: Any) -> bool:
    """Tell whether the server still knows a connection that has been idle."""
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error:
        connection.close()
        return False
    return True


@contextmanager
def _told() -> Iterator[None]:
    """Turn what Postgres reports into problems that a person can act on."""
    try:
        yield
    except errors.QueryCanceled:
        detail = "The query took too long. Ask for a shorter time or fewer rows."
        raise ProblemError(503, "query-timeout", detail, {"Retry-After": "5"}) from None
    except (errors.UndefinedTable, errors.UndefinedColumn) as error:
        detail = f"The database lacks what this view needs ({_first_line(error)}). Run `make up`, which migrates it."
        raise ProblemError(503, "schema", detail) from None
    except errors.InsufficientPrivilege as error:
        raise ProblemError(503, "privilege", f"The database login may not do that: {_first_line(error)}.") from None
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        detail = f"No connection to Postgres ({_first_line(error)}). Start it with `make up`, or see PGHOST … in .env."
        raise ProblemError(503, "database-away", detail, {"Retry-After": "5"}) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no answer"])[0].removeprefix("ERROR:").strip()


def existing_tables(database: Database, names: Sequence[str]) -> set[str]:
    """Return which of some tables and views there are."""
    found = database.rows(
        "SELECT name FROM unnest(%(names)s) AS name WHERE to_regclass(name) IS NOT NULL", {"names": list(names)}
    )
    return {row["name"] for row in found}
