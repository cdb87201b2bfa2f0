"""How often a keyword is mentioned: a level that forgets over days, and an online ratio that forgets over hours.

Both are gamma–Poisson filters: mentions and exposure are summed with exponential forgetting, their ratio is the
posterior mean of a rate with a gamma prior (West and Harrison 1997, "Bayesian Forecasting and Dynamic Models", ch. 2:
discount factors). Counts enter clipped, so that an incident does not teach the filter that it is usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL_HALF_LIFE_DAYS: Final = 5.0
PRIOR_MENTIONS: Final = 0.3
"""Shape of the gamma prior of a keyword's rate: most keywords are rare."""

PRIOR_RATE: Final = 0.02
"""Mean of that prior, mentions per window at usual volume."""

CLIP_SDS: Final = 3.0
"""Counts are clipped to the mean and so many standard deviations before they teach."""


ONLINE_HALF_LIFE_HOURS: Final = 4.0
WANDER: Final = 0.06
"""Variance of the online ratio that is expected before any count of the day (a standard deviation of 0.25)."""

RATIO_RANGE: Final = (0.4, 4.0)
"""The online ratio is held to this range: beyond it is news, not level."""


def prior_mass(mentions: Floats) -> Floats:
    """Return the weight of "as usual" in the online ratio, effective mentions, from those that the level rests on."""
    return np.asarray(1 / (WANDER + 1 / mentions))


def hour_keep() -> float:
    """Return the share of an online sum that an hour leaves."""
    return float(0.5 ** (1 / ONLINE_HALF_LIFE_HOURS))


def ratio_of(mentions: Floats, exposure: Floats) -> Floats:
    """Return the online ratio of a known keyword."""
    return np.asarray(np.clip(mentions / exposure, *RATIO_RANGE))


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """The level of each keyword as each day began, and after the last.

    Attributes:
        mentions: decayed mentions that the level rests on, prior included, float64[days + 1, k].
        exposure: decayed exposure, windows at usual volume, float64[days + 1, k].
        clipped: counts per hour after clipping, float64[hours, k].
        born: hour of the first mention; 0 if within the first day, the number of hours if never, int64[k].
    """

    mentions: Floats
    exposure: Floats
    clipped: Floats
    born: npt.NDArray[np.int64]

    @property
    def rate(self) -> Floats:
        """Posterior mean of the rate as each day began, mentions per unit of exposure, float64[days + 1, k]."""
        return self.mentions / self.exposure


def birth_hours(sums: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the hour of each keyword's first mention; 0 if within the first day, ``len(sums)`` if there is none."""
    some = sums > 0
    first = np.where(some.any(axis=0), some.argmax(axis=0), len(sums))
    return np.where(first < 24, 0, first).astype(np.int64)


def follow_levels(sums: npt.NDArray[np.float32], exposure: Floats, dispersion: float) -> Levels:
    """Follow the level of each keyword from day to day.

    A keyword's exposure begins in the hour after its first mention: that mention chose the hour, so it says nothing of
    the rate. An hour is clipped to what the level makes likely, unless both its day and the day before ran higher:
    then it is no incident but a new normal.

    Args:
        sums: mentions per hour, [hours, k]; whole days.
        exposure: windows at usual volume and season per hour, [hours, k].
        dispersion: over-dispersion of an hour's count that the clipping allows for.
    """
    hours, keywords = sums.shape
    days = hours // 24
    born = birth_hours(sums)
    keep = 0.5 ** (1 / LEVEL_HALF_LIFE_DAYS)
    a, b = np.zeros(keywords), np.zeros(keywords)
    mentions, exposures = np.empty((days + 1, keywords)), np.empty((days + 1, keywords))
    clipped = np.empty((hours, keywords))
    prior_exposure = PRIOR_MENTIONS / PRIOR_RATE
    before = np.zeros(keywords)
    for day in range(days):
        part = slice(day * 24, day * 24 + 24)
        e, x = np.array(exposure[part]), np.array(sums[part])
        unborn = np.arange(day * 24, day * 24 + 24)[:, None] < born + (born > 0)
        e[unborn] = 0.0
        x[unborn] = 0.0
        mentions[day], exposures[day] = a + PRIOR_MENTIONS, b + prior_exposure
        own = x.sum(0) / np.maximum(e.sum(0), 1e-9)
        # A first day has no level before it: the day's own, which the median hour keeps from being an incident's.
        likely = (a + PRIOR_MENTIONS) / (b + prior_exposure)
        if day == 0:
            likely = np.maximum(likely, np.minimum(own, 2 * np.median(x / np.maximum(e, 1e-9), axis=0) + 1 / 24))
        likely = np.where(b > 0, np.maximum(likely, np.minimum(own, before)), np.maximum(likely, own))
        mean = e * likely
        cap = mean + CLIP_SDS * np.sqrt(mean + dispersion * mean**2) + 1
        taught = np.minimum(x, cap)
        clipped[part] = taught
        a = a * keep + taught.sum(0)
        b = b * keep + e.sum(0)
        before = own
    mentions[days], exposures[days] = a + PRIOR_MENTIONS, b + prior_exposure
    return Levels(mentions, exposures, clipped, born)
