"""A crowd: a million keyword windows and a hundred thousand outliers beside the world, to measure the views with.

python -m tests.dashboard.crowd        # a dashboard over it, on a Postgres of its own, until Ctrl-C
"""

from __future__ import annotations

import sys
from typing import Any

from beam_pipelines.trends import write_trends
from tests.dashboard import world

KEYWORDS = 10_000
WINDOWS = 100
OUTLIERS_EACH = 10


def fill(connection: Any) -> None:
    """Add the crowd's windows, outliers, incidents, baselines, daily sums and trends to a world."""
    values = {"keywords": KEYWORDS, "windows": WINDOWS, "each": OUTLIERS_EACH}
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO keyword_windows SELECT 'crowd' || k, t.window_start, 2 + (k * 7 + n) %% 60, 1"
            " FROM generate_series(1, %(keywords)s) k, (SELECT window_start, row_number() OVER (ORDER BY window_start DESC) n"
            " FROM window_totals WHERE pane > 0 ORDER BY window_start DESC LIMIT %(windows)s) t",
            values,
        )
        cursor.execute(
            "INSERT INTO outliers SELECT 'crowd' || k, t.window_start, 60, 10, 4, 19, 1e-9, 1 + (k %% 400) / 100.0,"
            " (ARRAY['low', 'medium', 'high', 'critical'])[1 + k %% 400 / 100], 'confirmed', 1, 50, ARRAY[1, 2, 3]::bigint[], 1,"
            " 'return_period', 1, 2000 FROM generate_series(1, %(keywords)s) k, (SELECT window_start FROM window_totals"
            " WHERE pane > 0 ORDER BY window_start DESC LIMIT %(each)s) t",
            values,
        )
        cursor.execute(
            "INSERT INTO incidents (keyword, opened_at, peak_at, peak_score, state, shape, last_at, severity, status, kind,"
            " peak_mentions, peak_expected) SELECT keyword, min(window_start), max(window_start), max(score),"
            " CASE WHEN hashtext(keyword) % 20 = 0 THEN 'open' ELSE 'closed' END, 'pulse', max(window_start), max(severity),"
            " 'confirmed', 'surge', 60, 10 FROM outliers WHERE keyword LIKE 'crowd%' GROUP BY keyword"
        )
        cursor.execute(
            "INSERT INTO baselines SELECT (SELECT max(version) FROM baseline_versions), 'crowd' || k, 10, 4"
            " FROM generate_series(1, %(keywords)s * 10) k",
            values,
        )
        cursor.execute(
            "INSERT INTO keyword_daily SELECT d.date, 'crowd' || k, 1 + (k * 13 + d.date - date '2020-01-01') %% 500"
            " FROM generate_series(1, %(keywords)s * 10) k, (SELECT DISTINCT date FROM keyword_daily) d",
            values,
        )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT max(date) FROM parsed_days")
        day = cursor.fetchone()[0]
    write_trends(connection, day)
    with connection, connection.cursor() as cursor:
        cursor.execute("ANALYZE")


if __name__ == "__main__":
    sys.exit(world.show(world.fill, fill))
