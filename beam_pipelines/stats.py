"""Learn baselines from a history of counts and publish them as a new version in Postgres.

    python -m beam_pipelines.stats --counts build/history.csv.gz --totals build/totals.csv.gz

The version appears in one transaction; a running stream takes it up by itself within ``--baselines_every_seconds``.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from beam_pipelines.counts_files import read_history
from beam_pipelines.database import connect
from beam_pipelines.detectors import DETECTORS
from beam_pipelines.errors import start
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


def run(argv: Sequence[str]) -> int:
    """Parse the options, fit, publish."""
    parser = argparse.ArgumentParser(
        prog="python -m beam_pipelines.stats", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--counts", nargs="+", type=Path, required=True, help="CSV or CSV.gz: keyword,window_start,mentions"
    )
    parser.add_argument("--totals", type=Path, help="CSV or CSV.gz: window_start,total_posts")
    parser.add_argument("--detector", choices=sorted(DETECTORS), default="threshold", help="default: %(default)s")
    options = parser.parse_args(argv)
    history = read_history(options.counts, options.totals)
    version = publish(connect("stats"), DETECTORS[options.detector](), history)
    print(f"baselines version {version}: {len(history.keywords):,} keywords, {history.windows:,} windows")
    return 0


if __name__ == "__main__":
    start(run)
