"""Drop what is older than a number of days: day partitions, daily figures, old dead letters, old trends.

    python -m beam_pipelines.retention --date 2026-11-23 --keep_days 90

Days are counted back from --date. The raw archive in the lake is not touched: any day can be parsed again from it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

from beam_pipelines.days import parse_date
from programs.errors import UserError, start
from programs.postgres import connect
from transforms.copy_text import day_start

_BY_DATE: Final = "keyword_daily challenge_daily music_daily trends uncounted common_hashtags parity_days parsed_days parse_runs".split()
_BY_TIME: Final = {
    "window_totals": "window_start",
    "outliers": "window_start",
    # One that was retracted has not been closed; one that is open stays.
    "incidents": "CASE WHEN state <> 'open' THEN coalesce(closed_at, last_at) END",
    "dead_letters": "seen_at",
}


def drop_before(connection: Any, day: date) -> dict[str, int]:
    """Drop everything before a day, in one transaction.

    Returns:
        What was dropped: partitions and rows by table, tables without any left out.
    """
    dropped: dict[str, int] = {}
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT drop_days_before(%s)", (day,))
        for (name,) in cursor.fetchall():
            parent = name.rpartition("_")[0]
            dropped[f"partitions of {parent}"] = dropped.get(f"partitions of {parent}", 0) + 1
        for table in _BY_DATE:
            cursor.execute(f"DELETE FROM {table} WHERE date < %s", (day,))  # noqa: S608 - names of our own
            dropped[f"rows of {table}"] = cursor.rowcount
        for table, column in _BY_TIME.items():
            cursor.execute(f"DELETE FROM {table} WHERE {column} < %s", (day_start(day),))  # noqa: S608
            dropped[f"rows of {table}"] = cursor.rowcount
    return {what: count for what, count in dropped.items() if count}


def run(argv: Sequence[str]) -> int:
    """Parse the options, drop, tell."""
    parser = argparse.ArgumentParser(
        prog="python -m beam_pipelines.retention",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--date", required=True, help="the day to count back from, YYYY-MM-DD (UTC)")
    parser.add_argument(
        "--keep_days",
        type=int,
        default=90,
        help="days that stay, that of --date among them; the detector learns from 28; default: %(default)s",
    )
    options = parser.parse_args(argv)
    if options.keep_days < 1:
        msg = f"--keep_days={options.keep_days}: expected at least 1"
        raise UserError(msg)
    first = parse_date(options.date, "--date") - timedelta(days=options.keep_days - 1)
    connection = connect("retention")
    dropped = drop_before(connection, first)
    connection.close()
    told = ", ".join(f"{count:,} {what}" for what, count in dropped.items()) or "nothing"
    print(f"dropped what is older than {first}: {told}")
    return 0


if __name__ == "__main__":
    start(run)
