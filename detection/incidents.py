"""Incidents: outlier windows of a keyword that belong together count, and alarm, once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from detection.counts import WINDOW_SECONDS, WINDOWS_PER_DAY

INCIDENT_GAP: Final = WINDOWS_PER_DAY
"""An outlier within so many windows of the keyword's last one belongs to the same incident: it is no news."""

GAP_SECONDS: Final = INCIDENT_GAP * WINDOW_SECONDS

NEVER: Final = -(2**30)
"""Window index of what has not happened."""

SHAPES: Final = ("pulse", "ramp_up", "mean_shift")
"""Short; growing; lasting."""

RAMP_GROWTH: Final = 1.5
"""The second half of a ramp's windows holds at least so many times the excess of the first."""

SHIFT_WINDOWS: Final = 8
"""A mean shift lasts at least so many windows, two hours, and holds its level within a factor of ``RAMP_GROWTH``."""

Indices = npt.NDArray[np.int32]


def follow(
    index: int, outliers: npt.NDArray[np.int64], outlier_at: Indices, opened_at: Indices
) -> tuple[Indices, Indices]:
    """Take in the outliers of a window.

    Args:
        index: the window's index since the epoch.
        outliers: rows of the keywords that are outliers in it.
        outlier_at: index of each keyword's last outlier, ``NEVER`` without one, int32[n].
        opened_at: index at which the incident of that outlier opened, int32[n].

    Returns:
        ``outlier_at`` and ``opened_at`` after the window, new arrays where they change.
    """
    if not len(outliers):
        return outlier_at, opened_at
    outlier_at, opened_at = outlier_at.copy(), opened_at.copy()
    opens = index - outlier_at[outliers] > INCIDENT_GAP
    opened_at[outliers[opens]] = index
    outlier_at[outliers] = index
    return outlier_at, opened_at


class OutlierWindow(NamedTuple):
    """A window in which a keyword is an outlier: by a surge, or by a drop.

    Attributes:
        window_start: start of the window, epoch seconds.
        mentions: posts that mention the keyword.
        expected: mentions expected.
        score: how unusual.
        severity: index into ``detector.SEVERITIES``.
        confirmed: whether the window has closed.
    """

    window_start: int
    mentions: int
    expected: float
    score: float
    severity: int
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Incident:
    """Outlier windows of a keyword that belong together.

    Attributes:
        opened_at: start of the first of them, epoch seconds.
        last_at: start of the last.
        peak: the one with the largest score; of equals, the first.
        severity: the highest of their severities.
        confirmed: whether one of them has closed.
        shape: one of ``SHAPES``.
    """

    opened_at: int
    last_at: int
    peak: OutlierWindow
    severity: int
    confirmed: bool
    shape: str

    def near(self, opened_at: int, last_at: int) -> bool:
        """Tell whether outliers between these two times would belong to this incident."""
        return opened_at - self.last_at <= GAP_SECONDS and self.opened_at - last_at <= GAP_SECONDS


def group(windows: Sequence[OutlierWindow]) -> list[Incident]:
    """Return the incidents of one keyword, in order, from its outlier windows of one kind in any order."""
    ordered = sorted(windows)
    starts = np.array([window.window_start for window in ordered], np.int64)
    edges = [0, *(np.flatnonzero(np.diff(starts) > GAP_SECONDS) + 1).tolist(), len(ordered)]
    return [_incident(ordered[a:b]) for a, b in itertools.pairwise(edges) if a < b]


def _incident(windows: Sequence[OutlierWindow]) -> Incident:
    return Incident(
        windows[0].window_start,
        windows[-1].window_start,
        max(windows, key=lambda window: window.score),
        max(window.severity for window in windows),
        any(window.confirmed for window in windows),
        shape(windows),
    )


def shape(windows: Sequence[OutlierWindow]) -> str:
    """Return the shape of an incident from its outlier windows in order; provisional while it lasts.

    What is compared is the mean excess over what was expected when it opened, or the mean lack of it, in the two halves
    of its time: the expectation of later windows has learnt from the incident itself.
    """
    starts = np.array([window.window_start for window in windows], float)
    excess = np.array([window.mentions for window in windows]) - windows[0].expected
    excess = excess * (np.sign(excess[0]) or 1.0)
    span = (starts[-1] - starts[0]) / WINDOW_SECONDS + 1
    late = starts > (starts[0] + starts[-1]) / 2
    if len(windows) < 3 or len(windows) < span / 2 or not late.any():
        return "pulse"
    growth = excess[late].mean() / max(excess[~late].mean(), 1.0)
    if growth >= RAMP_GROWTH:
        return "ramp_up"
    return "mean_shift" if span >= SHIFT_WINDOWS and growth >= 1 / RAMP_GROWTH else "pulse"


class Known(NamedTuple):
    """An incident that has been told.

    Attributes:
        incident_id: its number.
        opened_at: start of its first outlier window as told, epoch seconds.
        last_at: start of its last.
        retracted: whether it was taken back.
    """

    incident_id: int
    opened_at: int
    last_at: int
    retracted: bool


def identify(found: Sequence[Incident], known: Sequence[Known]) -> tuple[list[int | None], list[int]]:
    """Say which of a keyword's incidents are those that have been told.

    An incident keeps its number while its first or last windows come and go. Where two have grown into one, the older
    number stays; where one has come apart, its first part keeps the number.

    Args:
        found: the incidents that there are now, in order.
        known: those told before that lie within the gap of what has changed.

    Returns:
        The number of each incident, None for a new one; and the numbers that stand for nothing any more.
    """
    free = sorted(known, key=lambda one: (one.retracted, one.incident_id))
    numbers: list[int | None] = []
    for incident in found:
        same = next((one for one in free if incident.near(one.opened_at, one.last_at)), None)
        if same is not None:
            free.remove(same)
        numbers.append(None if same is None else same.incident_id)
    return numbers, [one.incident_id for one in free if not one.retracted]
