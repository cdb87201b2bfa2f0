"""The alert threshold: from a budget of alerts a day, not from a number of sigmas.

Three bounds, the strictest holds:

* no keyword alarms for what it does about once in ``LEAST_RETURN_DAYS`` days;
* over all keywords, chance alone gives at most ``CHANCE_SHARE`` of the budget a day, by the common tail;
* the incidents of the recent days, by their own scores, would have kept to the budget.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST_RETURN_DAYS: Final = 5.0
CHANCE_SHARE: Final = 0.25
RECENT_DAYS: Final = 7
SEVERITY_FACTORS: Final = (10.0, 100.0, 1000.0)
"""Return periods, as multiples of the threshold's, from which an outlier is medium, high, critical."""


def threshold(scores: Floats, keywords_per_day: float, alerts_per_day: float) -> float:
    """Return the score from which a window is an outlier.

    Args:
        scores: score of each keyword's daily maximum over the recent days, float64[days, k]; NaN where it had none.
        keywords_per_day: keywords that could have alarmed on a day.
        alerts_per_day: the budget.
    """
    least = np.log10(1 + LEAST_RETURN_DAYS)
    chance = np.log10(1 + keywords_per_day / (CHANCE_SHARE * alerts_per_day))
    recent = scores[-RECENT_DAYS:]
    past = recent[np.isfinite(recent)]
    allowed = int(alerts_per_day * len(recent))
    spent = float(np.partition(past, -allowed - 1)[-allowed - 1]) if 0 < allowed < len(past) else 0.0
    return float(max(least, chance, spent))


def severity(scores: Floats, least: float) -> npt.NDArray[np.int8]:
    """Return the severity level of each score, 0 (none) to 4 (critical), int8[n]."""
    levels = [least, *(least + np.log10(factor) for factor in SEVERITY_FACTORS)]
    return np.digitize(scores, levels).astype(np.int8)
