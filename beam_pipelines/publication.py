"""Publish baselines: fit a detector and store what it learnt as a new version in Postgres."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

from detection.baselines import BaselineTable, keyword_hashes
from detection.counts import CountHistory
from detection.detector import Detector

_COPY_SPECIAL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def publish(connection: Any, detector: Detector, history: CountHistory) -> int:
    """Fit the detector and publish what it learnt; return the new version's number."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO baseline_versions (detector, history_from, history_to, keywords) VALUES (%s, %s, %s, %s) "
            "RETURNING version",
            (
                detector.name,
                datetime.fromtimestamp(history.start, UTC),
                datetime.fromtimestamp(history.end, UTC),
                len(history.keywords),
            ),
        )
        version = int(cursor.fetchone()[0])
        table = detector.fit(history, version)
        cursor.copy_expert(
            "COPY baselines (version, keyword, level, dispersion) FROM STDIN", _copy_rows(table, history, version)
        )
    return version


def _copy_rows(table: BaselineTable, history: CountHistory, version: int) -> io.StringIO:
    rows = table.find(keyword_hashes(history.keywords))
    level, dispersion = table.columns["level"][rows].tolist(), table.columns["dispersion"][rows].tolist()
    lines = (
        f"{version}\t{keyword.translate(_COPY_SPECIAL)}\t{mean}\t{deviation}\n"
        for keyword, mean, deviation in zip(history.keywords, level, dispersion, strict=True)
    )
    return io.StringIO("".join(lines))
