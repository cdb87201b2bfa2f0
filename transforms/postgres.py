"""A worker's session with Postgres, which outlives restarts of the server, and the times that it writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import psycopg2

T = TypeVar("T")

TRIES: Final = 6
"""Attempts while Postgres restarts, with pauses of 1, 2, 4 … seconds between them."""


def persistently(attempt: Callable[[], T], retried: Callable[[], None] | None = None) -> T:
    """Do something, again if the connection is lost or Postgres does not take one; return what it returned.

    Args:
        attempt: what to do; it must bear repeating, and connect anew.
        retried: is told of each further attempt.

    Raises:
        psycopg2.OperationalError: Postgres stayed away.
    """
    for pause in (2**tries for tries in range(TRIES - 1)):
        try:
            return attempt()
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            if retried is not None:
                retried()
            time.sleep(pause)
    return attempt()


class Session:
    """One connection, made at the first use and again when it is lost.

    Args:
        application: name that Postgres shows for it.
        prepare: a statement for each new connection.
    """

    def __init__(self, application: str, prepare: str = "") -> None:
        self._application = application
        self._prepare = prepare
        self._connection: Any = None

    def run(self, transaction: Callable[[Any], None], retried: Callable[[], None] | None = None) -> None:
        """Run a transaction, again if the connection is lost; it gets the connection, and must bear repeating.

        Args:
            transaction: what to do.
            retried: is told of each further attempt.

        Raises:
            psycopg2.OperationalError: Postgres stayed away.
        """

        def attempt() -> None:
            try:
                transaction(self._connected())
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self._connection = None
                raise

        persistently(attempt, retried)

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Any:
        if self._connection is None:
            connection = psycopg2.connect("", application_name=self._application)
            if self._prepare:
                with connection, connection.cursor() as cursor:
                    cursor.execute(self._prepare)
            self._connection = connection
        return self._connection


def timestamptz(seconds: float) -> datetime:
    """Return what Postgres takes as a point in time.

    Args:
        seconds: since the epoch.
    """
    return datetime.fromtimestamp(seconds, UTC)
