"""Incidents: outlier windows of a keyword that belong together count, and alarm, once."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from detection.counts import WINDOWS_PER_DAY

INCIDENT_GAP: Final = WINDOWS_PER_DAY
"""An outlier within so many windows of the keyword's last one belongs to the same incident: it is no news."""

NEVER: Final = -(2**30)
"""Window index of what has not happened."""

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
