"""The table ``incidents``, kept in step with ``outliers`` by the transaction that writes these.

Nothing is added up: the incidents of the keywords that a transaction touches are computed anew from the table of
outliers, as far as the gap reaches. So a replay changes no row, and a retraction shortens, splits or retracts what it
must. Transactions that touch a keyword take turns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

from psycopg2.extras import execute_values

from detection.baselines import keyword_hash
from detection.counts import WINDOW_SECONDS
from detection.detector import SEVERITIES
from detection.incidents import GAP_SECONDS, Incident, Known, OutlierWindow, group, identify
from transforms.postgres import timestamptz

LOCKS: Final = 64
"""Keywords share so many locks: one for each would fill Postgres's table of locks in a flood of outliers."""

_LOCK_CLASS: Final = 0x494E4344
"""First half of the advisory locks' keys, "INCD"."""

KINDS: Final = ("surge", "drop")
"""A keyword's surges and its drops are incidents apart."""

_KNOWN = """
    SELECT i.keyword, i.kind, i.incident_id, extract(epoch FROM i.opened_at)::bigint,
           extract(epoch FROM i.last_at)::bigint, i.state = 'retracted'
    FROM incidents i
    JOIN (VALUES %s) AS touched (keyword, kind, first, last) ON (i.keyword, i.kind) = (touched.keyword, touched.kind)
    WHERE i.last_at >= touched.first AND i.opened_at <= touched.last
"""
_OUTLIERS = f"""
    SELECT o.keyword, touched.kind, extract(epoch FROM o.window_start)::bigint, o.mentions, o.expected, o.score,
           array_position(ARRAY[{", ".join(f"'{name}'" for name in SEVERITIES)}], o.severity) - 1,
           o.status = 'confirmed'
    FROM outliers o
    JOIN (VALUES %s) AS touched (keyword, kind, first, last)
        ON o.keyword = touched.keyword AND (o.excess < 0) = (touched.kind = 'drop')
    WHERE o.window_start BETWEEN touched.first AND touched.last AND o.status <> 'retracted'
"""  # noqa: S608 - names of our own
_COLUMNS = (
    "incident_id", "keyword", "kind", "opened_at", "last_at", "closed_at", "peak_at", "peak_score", "severity", "state",
    "status", "shape", "peak_mentions", "peak_expected",
)  # fmt: skip
_UPSERT = f"""
    INSERT INTO incidents AS old ({", ".join(_COLUMNS)}) OVERRIDING SYSTEM VALUE VALUES %s
    ON CONFLICT (incident_id) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}, updated_at = now()
    WHERE ({", ".join(f"old.{name}" for name in _COLUMNS)}) IS DISTINCT FROM
          ({", ".join(f"excluded.{name}" for name in _COLUMNS)})
"""  # noqa: S608 - column names of our own
_CLOSE = """
    UPDATE incidents SET state = 'closed', closed_at = last_at + %s * interval '1 second', updated_at = now()
    WHERE incident_id IN (
        SELECT incident_id FROM incidents WHERE state = 'open' AND last_at < %s - %s * interval '1 second'
        FOR UPDATE SKIP LOCKED -- what another transaction is busy with is closed with the next window
    )
"""


def lock(cursor: Any, keywords: Collection[str]) -> None:
    """Make other transactions that touch these keywords wait for the end of this one; to be called first in it."""
    if keywords:
        numbers = sorted({keyword_hash(keyword) % LOCKS for keyword in keywords})
        cursor.execute("SELECT pg_advisory_xact_lock(%s, number) FROM unnest(%s) AS number", (_LOCK_CLASS, numbers))


def newest_closed(cursor: Any) -> int | None:
    """Return the start of the newest window that has closed, epoch seconds; None if none has."""
    cursor.execute(
        "SELECT extract(epoch FROM window_start)::bigint FROM window_totals WHERE pane > 0 "
        "ORDER BY window_start DESC LIMIT 1"
    )
    row = cursor.fetchone()
    return int(row[0]) if row else None


def close(cursor: Any) -> None:
    """Close the incidents to which no outlier can be added any more.

    Shards lag one another by less than a window or two. Should one still add to an incident that is closed here,
    ``renew`` opens it again.
    """
    newest = newest_closed(cursor)
    if newest is not None:
        cursor.execute(_CLOSE, (WINDOW_SECONDS, timestamptz(newest), GAP_SECONDS))


def renew(cursor: Any, touched: Mapping[str, Collection[int]]) -> None:
    """Compute the incidents of some keywords anew, as far as some windows can matter to them.

    Args:
        cursor: of the transaction that wrote their outliers, and that called ``lock`` before.
        touched: starts of the windows whose outliers may have changed, epoch seconds, by keyword.
    """
    if not touched:
        return
    reach = {
        (keyword, kind): (min(starts) - GAP_SECONDS, max(starts) + GAP_SECONDS)
        for keyword, starts in touched.items()
        for kind in KINDS
    }
    known: dict[tuple[str, str], list[Known]] = defaultdict(list)
    for keyword, kind, *values in _for_each(cursor, _KNOWN, reach):
        known[keyword, kind].append(Known(*values))
    # Incidents within the gap are computed as a whole, however far they go on.
    for key, incidents in known.items():
        alive = [one for one in incidents if not one.retracted]
        first, last = reach[key]
        reach[key] = (min([first, *(i.opened_at for i in alive)]), max([last, *(i.last_at for i in alive)]))
    windows: dict[tuple[str, str], list[OutlierWindow]] = defaultdict(list)
    for keyword, kind, *values in _for_each(cursor, _OUTLIERS, reach):
        windows[keyword, kind].append(OutlierWindow(*values))
    newest = newest_closed(cursor)
    rows, gone = [], []
    for key in sorted(reach):
        found = group(windows[key])
        numbers, over = identify(found, known[key])
        gone += over
        rows += [_row(number, *key, incident, newest) for number, incident in zip(numbers, found, strict=True)]
    if rows:
        _number(cursor, rows)
        execute_values(cursor, _UPSERT, rows)
    if gone:
        cursor.execute(
            "UPDATE incidents SET state = 'retracted', closed_at = NULL, updated_at = now() WHERE incident_id = ANY(%s)",
            (gone,),
        )


def _for_each(cursor: Any, statement: str, reach: Mapping[tuple[str, str], tuple[int, int]]) -> list[tuple[Any, ...]]:
    rows = [(*key, timestamptz(first), timestamptz(last)) for key, (first, last) in reach.items()]
    return list(execute_values(cursor, statement, rows, fetch=True))


def _row(number: int | None, keyword: str, kind: str, incident: Incident, newest: int | None) -> list[Any]:
    closed = newest is not None and newest - incident.last_at > GAP_SECONDS
    return [
        number,
        keyword,
        kind,
        timestamptz(incident.opened_at),
        timestamptz(incident.last_at),
        timestamptz(incident.last_at + WINDOW_SECONDS) if closed else None,
        timestamptz(incident.peak.window_start),
        incident.peak.score,
        SEVERITIES[incident.severity],
        "closed" if closed else "open",
        "confirmed" if incident.confirmed else "provisional",
        incident.shape,
        incident.peak.mentions,
        incident.peak.expected,
    ]


def _number(cursor: Any, rows: list[list[Any]]) -> None:
    """Give new incidents, those without a number, the next ones."""
    new = [row for row in rows if row[0] is None]
    cursor.execute(
        "SELECT nextval(pg_get_serial_sequence('incidents', 'incident_id')) FROM generate_series(1, %s)", (len(new),)
    )
    for row, (number,) in zip(new, cursor.fetchall(), strict=True):
        row[0] = number
