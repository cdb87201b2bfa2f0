"""Compare what the stream counted on a day with what the batch counted, keyword by keyword and window by window.

    python -m beam_pipelines.parity --date 2026-11-23

Both count with the same transforms, so for a closed day they agree, but for posts that came later than the stream waits
(late) and posts that came twice (duplicate); in windows that the stream never closed, because it was not running, its
counts are missing. Each difference must be covered by as many late or repeated mentions as the batch noted there.
The exit code is 0 if every difference has such a cause, 1 if one has not.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date, timedelta
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from beam_pipelines.days import parse_date
from programs.errors import UserError, start
from programs.postgres import connect
from transforms.copy_text import day_start
from transforms.daily import ANY_KEYWORD

CAUSES: Final = ("late", "duplicate", "missing", "unexplained")

# The stream writes no row of fewer than `floor` mentions: without a row it counted at most one less.
_COMPARED = """
WITH streamed AS (
    SELECT keyword, window_start, mentions FROM streamed_windows WHERE window_start >= %(start)s AND window_start < %(end)s
    UNION ALL
    SELECT %(any)s, window_start, streamed FROM window_totals
    WHERE window_start >= %(start)s AND window_start < %(end)s AND streamed IS NOT NULL
),
batch AS (
    SELECT keyword, window_start, mentions FROM keyword_windows WHERE window_start >= %(start)s AND window_start < %(end)s
    UNION ALL
    SELECT %(any)s, window_start, posts FROM window_totals
    WHERE window_start >= %(start)s AND window_start < %(end)s AND posts > 0
),
closed AS (
    SELECT window_start FROM window_totals
    WHERE window_start >= %(start)s AND window_start < %(end)s AND streamed IS NOT NULL
),
pairs AS (
    SELECT keyword, window_start, streamed.mentions AS streamed, coalesce(batch.mentions, 0) AS batch,
        coalesce(uncounted.late, 0) AS late, coalesce(uncounted.duplicates, 0) AS duplicates,
        closed.window_start IS NOT NULL AS closed
    FROM batch FULL JOIN streamed USING (keyword, window_start)
    LEFT JOIN (SELECT * FROM uncounted WHERE date = %(day)s) AS uncounted USING (keyword, window_start)
    LEFT JOIN closed USING (window_start)
),
compared AS (
    SELECT keyword, window_start, streamed, batch, late, duplicates,
        CASE
            WHEN streamed = batch THEN 'equal'
            WHEN NOT closed THEN 'missing'
            WHEN coalesce(streamed, %(floor)s - 1) < batch AND batch - late <= coalesce(streamed, %(floor)s - 1) THEN 'late'
            WHEN streamed > batch AND streamed <= batch + duplicates THEN 'duplicate'
            ELSE 'unexplained'
        END AS cause
    FROM pairs WHERE streamed IS NOT NULL OR batch >= CASE keyword WHEN %(any)s THEN 1 ELSE %(floor)s END
)
"""
_COUNTS = _COMPARED + "SELECT cause, count(*) FROM compared GROUP BY cause"  # noqa: S608 - texts of our own
_EXAMPLES = f"""{_COMPARED}
SELECT cause, keyword, window_start, streamed, batch, late, duplicates FROM (
    SELECT *, row_number() OVER (
        PARTITION BY cause ORDER BY abs(batch - coalesce(streamed, 0)) DESC, window_start, keyword
    ) AS place FROM compared WHERE cause <> 'equal'
) AS ranked WHERE place <= %(examples)s ORDER BY array_position(%(causes)s, cause), place
"""  # noqa: S608


@dataclass(frozen=True)
class Parity:
    """How many counts were compared, and how many differ for which cause."""

    keyword_windows: int
    equal: int
    late: int
    duplicate: int
    missing: int
    unexplained: int


@dataclass(frozen=True)
class Difference:
    """A keyword and window in which stream and batch differ; ``streamed`` is ``None`` without a row of the stream."""

    cause: str
    keyword: str
    window_start: Any
    streamed: int | None
    batch: int
    late: int
    duplicates: int


def compare(connection: Any, day: date, floor: int, examples: int) -> tuple[Parity, list[Difference]]:
    """Compare a parsed day, and note the result in ``parity_days``.

    Args:
        connection: to Postgres.
        day: the day.
        floor: the stream's ``--min_mentions``.
        examples: differences of each cause to return, the largest first.
    """
    with connection, connection.cursor() as cursor:
        values = {
            "day": day,
            "start": day_start(day),
            "end": day_start(day + timedelta(days=1)),
            "any": ANY_KEYWORD,
            "floor": floor,
            "examples": examples,
            "causes": list(CAUSES),
        }
        cursor.execute("SET LOCAL work_mem = '256MB'")
        cursor.execute(_COUNTS, values)
        counts = dict(cursor.fetchall())
        parity = Parity(sum(counts.values()), counts.get("equal", 0), *(counts.get(cause, 0) for cause in CAUSES))
        differences = []
        if parity.equal < parity.keyword_windows:
            cursor.execute(_EXAMPLES, values)
            differences = [Difference(*row) for row in cursor.fetchall()]
        cursor.execute("DELETE FROM parity_days WHERE date = %s", (day,))
        cursor.execute(
            "INSERT INTO parity_days (date, keyword_windows, equal, late, duplicate, missing, unexplained) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (day, *astuple(parity)),
        )
    return parity, differences


def run(argv: Sequence[str]) -> int:
    """Compare, print, and tell by the exit code whether something is unexplained."""
    parser = argparse.ArgumentParser(
        prog="python -m beam_pipelines.parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--date", required=True, help="a parsed day, YYYY-MM-DD (UTC)")
    parser.add_argument(
        "--min_mentions",
        type=int,
        default=2,
        help="the stream's: it writes no counts below it to keyword_windows; default: %(default)s",
    )
    parser.add_argument(
        "--examples", type=int, default=5, help="differences of each cause that are shown; default: %(default)s"
    )
    options = parser.parse_args(argv)
    day = parse_date(options.date, "--date")
    connection = connect("parity")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM parsed_days WHERE date = %s)", (day,))
        if not cursor.fetchone()[0]:
            msg = f"{day} has not been parsed: run `python -m beam_pipelines.parse --date {day}` first"
            raise UserError(msg)
    parity, differences = compare(connection, day, options.min_mentions, options.examples)
    connection.close()
    _show(day, parity, differences)
    return 1 if parity.unexplained else 0


def _show(day: date, parity: Parity, differences: Sequence[Difference]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{day}: {parity.keyword_windows:,} counts compared, {parity.equal:,} equal; {parity.late:,} late, "
        f"{parity.duplicate:,} duplicate, {parity.missing:,} missing, {parity.unexplained:,} unexplained"
    )
    if not differences:
        return
    table = Table(
        "cause", "keyword", "window (UTC)", "stream", "batch", "late", "repeated", title="Largest differences"
    )
    for found in differences:
        streamed = "-" if found.streamed is None else str(found.streamed)
        numbers = (streamed, str(found.batch), str(found.late), str(found.duplicates))
        table.add_row(found.cause, found.keyword or "(all posts)", f"{found.window_start:%F %H:%M}", *numbers)
    console.print(table)


if __name__ == "__main__":
    start(run)
