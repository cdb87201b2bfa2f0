"""Staging: rows of a day go into tables beside the live ones, and each chunk of them exactly once.

A chunk is what is staged in one transaction, under a name that follows from its content's place (an archived object, a
window's shard). A bundle that is tried again finds its chunks there already. A worker that outlives its run, after
another run of the same day has begun, is refused.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extras import execute_values

from transforms.postgres import Session


@dataclass(frozen=True)
class ParseRun:
    """One run of the batch over one day.

    Attributes:
        date: the day, ``YYYY-MM-DD`` (UTC).
        token: tells this run from any other of that day.
    """

    date: str
    token: str

    def staged(self, parent: str) -> str:
        """Return the name of the table beside a day's partition of ``parent``."""
        return f"{parent}_{self.date.replace('-', '')}_staged"


class SupersededError(Exception):
    """Another run of the same day has begun."""


class Chunk(NamedTuple):
    """Rows that are staged together.

    Attributes:
        name: the same whenever the same rows are staged.
        posts: posts among them, for progress.
        rows: lines of COPY by ``Target``.
    """

    name: str
    posts: int
    rows: Mapping[Target, bytes]


class Target(NamedTuple):
    """A table and the columns that are filled."""

    table: str
    columns: tuple[str, ...]


class Stager:
    """Writes chunks, over one connection.

    Args:
        run: the run that they belong to.
    """

    def __init__(self, run: ParseRun) -> None:
        self._run = run
        # Staged rows can be made again from the archive.
        self._session = Session("parse", "SET SESSION synchronous_commit = off")

    def stage(self, chunks: Sequence[Chunk]) -> None:
        """Write chunks in one transaction; those that are there already are passed over.

        Raises:
            SupersededError: the run is no longer the day's.
            psycopg2.OperationalError: Postgres stayed away.
        """
        self._session.run(lambda connection: self._stage(connection, chunks))

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def _stage(self, connection: Any, chunks: Sequence[Chunk]) -> None:
        date, token = self._run.date, self._run.token
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT run FROM parse_runs WHERE date = %s FOR SHARE", (date,))
            current = cursor.fetchone()
            if current is None or current[0] != token:
                msg = f"this run of {date} has been superseded by another"
                raise SupersededError(msg)
            new = execute_values(
                cursor,
                "INSERT INTO staged_chunks (date, chunk, posts) VALUES %s ON CONFLICT DO NOTHING RETURNING chunk",
                [(date, chunk.name, chunk.posts) for chunk in chunks],
                page_size=len(chunks),
                fetch=True,
            )
            names = {name for (name,) in new}
            rows: dict[Target, list[bytes]] = {}
            for chunk in chunks:
                if chunk.name in names:
                    for target, lines in chunk.rows.items():
                        rows.setdefault(target, []).append(lines)
            for target, parts in rows.items():
                copy = sql.SQL("COPY {} ({}) FROM STDIN").format(
                    sql.Identifier(target.table), sql.SQL(", ").join(map(sql.Identifier, target.columns))
                )
                cursor.copy_expert(copy, io.BytesIO(b"".join(parts)))
