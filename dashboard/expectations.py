"""What was expected of a keyword in windows that are no outliers, from the baselines as people can read them.

The stream keeps the expectation of outliers alone; where an outlier says what was expected, that holds. For every
other window it is worked out here: level × volume of the platform × season, and the range around it from the level's
standard deviation. What the stream remembers of the last hours is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dashboard.database import Database
from detection.counts import WINDOW_SECONDS
from detection.tails import usual_range

HOURS = 7 * 24
WINDOW_IN_HOUR = timedelta(minutes=30) - timedelta(seconds=WINDOW_SECONDS / 2)
"""Time from the start of an hour to that of a window whose middle is the hour's."""
OUTSIDE = 0.005
"""Share of usual windows above the range, and below it."""
LARGEST_SHAPE = 1e7
"""Shape of a keyword that varies no more than chance."""

Floats = npt.NDArray[np.float64]


class Expectation(NamedTuple):
    """What is usual in one window, in mentions."""

    expected: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Baseline:
    """What is known of a keyword.

    Attributes:
        level: mean mentions per window, at the usual volume of the platform.
        deviation: standard deviation of the mentions of a window.
        season: factors by hour of the week from Monday 00:00 UTC on, float64[168].
        usual_posts: posts of the whole platform in a usual window; NaN where unknown.
    """

    level: float
    deviation: float
    season: Floats
    usual_posts: float

    def expect(self, starts: Sequence[datetime], platform_posts: Floats) -> list[Expectation]:
        """Return what is usual in some windows.

        Args:
            starts: start of each window.
            platform_posts: posts of the whole platform in each, NaN where unknown, float64[n].
        """
        volume = platform_posts / self.usual_posts
        volume[~np.isfinite(volume)] = 1.0
        # A factor holds in the middle of its hour; between two middles it goes from one to the other.
        middles = np.array(
            [(start - WINDOW_IN_HOUR).weekday() * 24 + _hour(start - WINDOW_IN_HOUR) for start in starts]
        )
        first = np.floor(middles).astype(int)
        share = middles - first
        factors = (1 - share) * self.season[first % HOURS] + share * self.season[(first + 1) % HOURS]
        mean = self.level * volume * factors
        surplus = self.deviation**2 - self.level
        shape = np.full(len(mean), min(self.level**2 / surplus, LARGEST_SHAPE) if surplus > 0 else LARGEST_SHAPE)
        lower, upper = usual_range(mean, shape, OUTSIDE)
        return [Expectation(*values) for values in zip(mean.tolist(), lower.tolist(), upper.tolist(), strict=True)]


IN_FORCE = "SELECT version FROM baseline_versions ORDER BY history_to DESC, version DESC LIMIT 1"
"""The version that the stream judges by: that whose history goes furthest, of several the one published last."""


def baselines_of(reader: Database, keywords: Sequence[str]) -> dict[str, Baseline]:
    """Return the baselines in force of some keywords, of those that have one."""
    rows = reader.rows(
        f"""
        SELECT b.keyword, b.level, b.dispersion, b.season, v.pooled
        FROM baselines b JOIN baseline_versions v USING (version)
        WHERE version = ({IN_FORCE}) AND keyword = ANY(%(keywords)s)
        """,  # noqa: S608 - text of our own
        {"keywords": list(keywords)},
    )
    return {
        row["keyword"]: Baseline(
            float(row["level"]),
            float(row["dispersion"]),
            _season(row["season"] or row["pooled"].get("season")),
            float(row["pooled"].get("usual_posts") or "nan"),
        )
        for row in rows
    }


def _hour(moment: datetime) -> float:
    return moment.hour + moment.minute / 60


def _season(factors: Any) -> Floats:
    return np.array(factors, float) if factors and len(factors) == HOURS else np.ones(HOURS)
