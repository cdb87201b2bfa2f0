"""Learn baselines from a history of counts and publish them as a new version in Postgres.

    python -m beam_pipelines.stats --counts build/history.csv.gz --totals build/totals.csv.gz

The version appears in one transaction; a running stream takes it up by itself within ``--baselines_every_seconds``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from beam_pipelines.counts_files import read_history
from beam_pipelines.database import connect
from beam_pipelines.detectors import DEFAULT_DETECTOR, DETECTORS
from beam_pipelines.errors import start
from beam_pipelines.publication import publish


def run(argv: Sequence[str]) -> int:
    """Parse the options, fit, publish."""
    parser = argparse.ArgumentParser(
        prog="python -m beam_pipelines.stats", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--counts", nargs="+", type=Path, required=True, help="CSV or CSV.gz: keyword,window_start,mentions"
    )
    parser.add_argument("--totals", type=Path, help="CSV or CSV.gz: window_start,total_posts")
    parser.add_argument("--detector", choices=sorted(DETECTORS), default=DEFAULT_DETECTOR, help="default: %(default)s")
    options = parser.parse_args(argv)
    history = read_history(options.counts, options.totals)
    version = publish(connect("stats"), DETECTORS[options.detector](), history)
    print(f"baselines version {version}: {len(history.keywords):,} keywords, {history.windows:,} windows")
    return 0


if __name__ == "__main__":
    start(run)
