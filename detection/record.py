"""From surprise to return period: "this keyword does this about once in N days".

No parametric tail is right at 10^-5. So surprises (-ln of a tail probability, nats) are measured by the keyword's own
record, the largest surprise of each of its past days: a keyword whose usual day holds a surprise of 13 nats has its
surprises halved against one whose usual day holds 6.5. The mean of the record is drawn to the common value by
``RECORD_DAYS`` days' worth, the posterior mean of an exponential scale with a conjugate prior (inverse gamma).
A mean says little of a keyword that jumps every few days and by far; so what it does on one day in five, the empirical
quantile of its record, is brought below the least that can alarm, whatever the mean says.

The calibrated daily maxima of all keywords then give one tail. Beyond its bulk it is taken to fall exponentially, the
Gumbel domain of extreme-value theory (Coles 2001, "An Introduction to Statistical Modeling of Extreme Values", ch. 4),
and the scale is read off the bulk, which true anomalies hardly touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

USUAL_RECORD: Final = 6.5
"""Mean surprise of a keyword's usual daily maximum, nats: the unit of calibration."""

RECORD_DAYS: Final = 4.0
"""Weight of ``USUAL_RECORD`` beside a keyword's own days."""

HABIT_DAYS: Final = 5
"""What a keyword does once in so many days is its habit, whatever its size."""

USUAL_HABIT: Final = 7.2
"""Calibrated surprise to which a habit is brought, nats: about the least that can alarm."""

HABIT_WEIGHT: Final = 0.5
"""Weight of ``USUAL_HABIT`` beside a keyword's own days."""

DEFAULT_TAIL: Final = (5.8, 1.8)
"""Median and exponential scale of calibrated daily maxima before any data, nats."""

TAIL_DAYS: Final = 500.0
"""Weight of ``DEFAULT_TAIL``, keyword-days."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The common tail of calibrated daily maxima: P(maximum > c) = exp(-(c - location) / scale).

    Attributes:
        location: calibrated surprise that one day in one holds, by extrapolation, nats.
        scale: nats per factor e of rarity.
    """

    location: float
    scale: float

    def log_return_days(self, calibrated: Floats) -> Floats:
        """Return the score log10(1 + R), R the return period of a calibrated surprise in days."""
        with np.errstate(invalid="ignore"):  # NaN, where a keyword did not exist, stays NaN
            return np.asarray(np.logaddexp(0.0, (calibrated - self.location) / self.scale) / np.log(10))


def calibration(record: Floats) -> Floats:
    """Return what each keyword's surprises are divided by, float64[k].

    Args:
        record: largest surprise per day, nats, float64[days, k]; NaN where the keyword did not exist.
    """
    days = np.isfinite(record).sum(axis=0)
    mean = (RECORD_DAYS * USUAL_RECORD + np.nansum(record, axis=0)) / (RECORD_DAYS + days) / USUAL_RECORD
    ordered = np.sort(np.where(np.isfinite(record), record, -1.0), axis=0)[::-1]
    rank = np.minimum((days / HABIT_DAYS).astype(int), len(ordered) - 1)
    fifth = np.maximum(np.take_along_axis(ordered, rank[None], axis=0)[0], 0.0)
    habit = (HABIT_WEIGHT * USUAL_HABIT + days * fifth) / (HABIT_WEIGHT + days) / USUAL_HABIT
    return np.asarray(np.maximum(mean, habit))


def common_tail(calibrated: Floats) -> Tail:
    """Fit the common tail to calibrated daily maxima, float64[n], between their 60th and 97th percentile."""
    n = len(calibrated)
    location, scale = DEFAULT_TAIL[0] - np.log(2) * DEFAULT_TAIL[1], DEFAULT_TAIL[1]
    if n:
        low, high = np.quantile(calibrated, (0.6, 0.97))
        own_scale = max((high - low) / np.log(0.4 / 0.03), 0.3)
        own_location = low - own_scale * np.log(1 / 0.4)
        location = (TAIL_DAYS * location + n * own_location) / (TAIL_DAYS + n)
        scale = (TAIL_DAYS * scale + n * own_scale) / (TAIL_DAYS + n)
    return Tail(float(location), float(scale))
