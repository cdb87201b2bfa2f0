"""The alert threshold: from a budget of alerts a day, not from a number of sigmas.

Three bounds, the strictest holds:

* no keyword alarms for what it does about once in ``LEAST_RETURN_DAYS`` days;
* over all keywords, chance alone gives at most ``CHANCE_SHARE`` of the budget a day, by the common tail;
* the incidents of the recent days, by their own scores, would have kept to the budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST_RETURN_DAYS: Final = 5.0
CHANCE_SHARE: Final = 0.25
DROP_SHARE: Final = 0.05
"""Part of the budget that chance may use up with drops."""

LEAST_SCORE: Final = float(np.log10(1 + LEAST_RETURN_DAYS))
UNTRIED_SCORE: Final = 3.0
"""Least score of an outlier while there is no record: once in a thousand days."""

RECENT_DAYS: Final = 7
SEVERITY_FACTORS: Final = (10.0, 100.0, 1000.0)
"""Return periods, as multiples of the threshold's, from which an outlier is medium, high, critical."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What the recent days tell of alerts, for any budget.

    Attributes:
        scores: scores of the keywords' daily maxima that could be alerts at all, largest first, float64[n].
        days: days that have a record at all; a history's first day has none.
        keywords: keywords that could have alarmed on a day.
        share: these keywords' part of all keywords, above 0 and at most 1.
    """

    scores: Floats
    days: int
    keywords: float
    share: float

    @classmethod
    def of(cls, scores: Floats, keywords: float, share: float = 1.0) -> Record:
        """Keep what a threshold needs.

        Args:
            scores: score of each keyword's daily maximum, float64[days, k]; NaN where it had none.
            keywords: keywords that could have alarmed on a day.
            share: these keywords' part of all keywords.
        """
        recent = scores[-RECENT_DAYS:]
        able = recent[recent >= LEAST_SCORE]  # False where it is NaN
        days = int(np.isfinite(recent).any(axis=1).sum())
        return cls(np.sort(able)[::-1], days, keywords, share)


NO_RECORD: Final = Record(np.empty(0), 0, 0.0, 1.0)
"""Before any history: nothing has been measured, so only what is very rare by the default tail is told."""


def threshold(record: Record, alerts_per_day: float) -> float:
    """Return the score from which a window is an outlier, if there are to be so many alerts a day over all keywords."""
    alerts = alerts_per_day * record.share
    chance = float(np.log10(1 + record.keywords / (CHANCE_SHARE * alerts)))
    allowed = int(alerts * record.days)
    spent = float(record.scores[allowed]) if allowed < len(record.scores) else 0.0
    return max(LEAST_SCORE if record.days else UNTRIED_SCORE, chance, spent)


def least_drop_score(keywords: int, alerts_per_day: float) -> float:
    """Return the score from which a silence is a drop: chance alone gives ``DROP_SHARE`` of the budget a day.

    Args:
        keywords: keywords whose silence can be told.
        alerts_per_day: the budget.
    """
    return max(LEAST_SCORE, float(np.log10(1 + keywords / (DROP_SHARE * alerts_per_day))))


def severity(scores: Floats, least: float) -> npt.NDArray[np.int8]:
    """Return the severity level of each score, 0 (none) to 4 (critical), int8[n]."""
    levels = [least, *(least + np.log10(factor) for factor in SEVERITY_FACTORS)]
    return np.digitize(scores, levels).astype(np.int8)
