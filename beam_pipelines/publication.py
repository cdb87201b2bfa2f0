"""Publish baselines: fit a detector and store what it learnt as a new version in Postgres.

A version is stored twice: as the bytes that workers load, whatever the detector keeps in its table, and as rows that
people can query.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import psycopg2
import zstandard

from detection.baselines import BaselineTable, keyword_hashes
from detection.counts import CountHistory
from detection.detector import Detector, Summary
from programs.errors import UserError
from transforms.copy_text import NULL, text

KEPT_VERSIONS: Final = 14
"""Versions of a detector that stay, those whose history goes furthest; the others go when a new one comes."""

PART_BYTES: Final = 32 * 2**20
"""Size of the parts that a table's bytes are stored in."""


def learn(detector: Detector, history: CountHistory, version: int = 0) -> BaselineTable:
    """Fit the detector to a history.

    Raises:
        UserError: the history is too short to learn from.
    """
    fitted = detector.fit(history, version)
    if not len(fitted):
        msg = "nothing could be learnt from the counts: they must cover a whole day (UTC) at least, and hold a keyword"
        raise UserError(msg)
    return fitted


def publish(connection: Any, detector: Detector, history: CountHistory) -> int:
    """Fit the detector and publish what it learnt, all in one transaction; return the new version's number.

    Raises:
        UserError: the history is too short to learn from. What was published before stays in force.
    """
    return publish_table(connection, detector, learn(detector, history), history.keywords, *detector.span(history))


def publish_table(
    connection: Any, detector: Detector, table: BaselineTable, keywords: Sequence[str], start: int, end: int
) -> int:
    """Publish a table in one transaction; return the new version's number.

    Args:
        connection: to Postgres.
        detector: the detector that the table is of.
        table: its rows; its own version does not count.
        keywords: the keywords of its rows, in any order; more do no harm.
        start: start of the history that it was learnt from, epoch seconds.
        end: end of the history.
    """
    summary = detector.summary(table)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO baseline_versions (detector, history_from, history_to, keywords, pooled) "
            "VALUES (%s, %s, %s, %s, %s) RETURNING version",
            (
                detector.name,
                datetime.fromtimestamp(start, UTC),
                datetime.fromtimestamp(end, UTC),
                len(table),
                json.dumps(summary.pooled, allow_nan=False),
            ),
        )
        version = int(cursor.fetchone()[0])
        _store(cursor, replace(table, version=version))
        cursor.copy_expert(
            "COPY baselines (version, keyword, level, dispersion, season, tail) FROM STDIN",
            io.StringIO("".join(_rows(table, summary, keywords, version))),
        )
        cursor.execute(
            "DELETE FROM baseline_versions WHERE detector = %s AND version NOT IN "
            "(SELECT version FROM baseline_versions WHERE detector = %s ORDER BY history_to DESC, version DESC LIMIT %s)",
            (detector.name, detector.name, KEPT_VERSIONS),
        )
    return version


def _store(cursor: Any, table: BaselineTable) -> None:
    data = memoryview(zstandard.ZstdCompressor(level=1).compress(table.to_bytes()))
    for part, first in enumerate(range(0, len(data), PART_BYTES)):
        cursor.execute(
            "INSERT INTO baseline_tables (version, part, data) VALUES (%s, %s, %s)",
            (table.version, part, psycopg2.Binary(data[first : first + PART_BYTES])),
        )


def _rows(table: BaselineTable, summary: Summary, keywords: Sequence[str], version: int) -> Iterator[str]:
    """Yield lines for COPY, one for each keyword that has a baseline."""
    found = table.find(keyword_hashes(keywords))
    some = np.flatnonzero(found >= 0)
    rows = found[some]
    # Millions of seasonal factors, but only so many different ones: each is put into text once.
    factors = [f"{math.exp(code * summary.season_step):.3g}" for code in (*range(128), *range(-128, 0))]
    seasons = summary.seasons.view(np.uint8)
    columns = zip(
        some.tolist(), summary.level[rows].tolist(), summary.deviation[rows].tolist(), summary.season[rows].tolist(),
        summary.tail[rows].tolist(), strict=True,
    )  # fmt: skip
    for keyword, level, deviation, season, tail in columns:
        name = text(keywords[keyword])
        own = "{" + ",".join(map(factors.__getitem__, seasons[season].tolist())) + "}" if season >= 0 else NULL
        parameters = "{" + ",".join(f"{value:.6g}" for value in tail) + "}" if tail else NULL
        yield f"{version}\t{name}\t{level:.6g}\t{deviation:.6g}\t{own}\t{parameters}\n"
