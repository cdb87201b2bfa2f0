"""The interface that every detector has, whether it runs in the stream, the daily fit or the backtest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from detection.baselines import BaselineTable
from detection.counts import CountHistory, WindowCounts

SEVERITIES = ("none", "low", "medium", "high", "critical")
"""Names of the severity levels 0 to 4."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a detector says of each keyword of a ``WindowCounts``, in its order; every array has length n.

    Attributes:
        expected: mentions expected in the window, float64.
        lower: lower end of the range that is usual, mentions, float64.
        upper: upper end of the range that is usual, mentions, float64.
        p_value: probability of so many mentions or more if nothing is unusual, float64 in [0, 1].
        score: how unusual; comparable between keywords, larger is more unusual, float64.
        severity: index into ``SEVERITIES``, int8; above 0 exactly where the keyword is an outlier.
        tide: part of the excess over the expectation of the keyword alone that the platform's own growth explains,
            mentions, float64.
        excess: the keyword's own part, mentions above what platform and season explain, float64.
    """

    expected: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]
    p_value: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    severity: npt.NDArray[np.int8]
    tide: npt.NDArray[np.float64]
    excess: npt.NDArray[np.float64]

    @property
    def is_outlier(self) -> npt.NDArray[np.bool_]:
        """Which keywords are outliers, bool[n]."""
        return self.severity > 0


class Detector(Protocol):
    """Learns baselines from history once a day, then scores windows against them. Holds options only, no state."""

    name: str

    def fit(self, history: CountHistory, version: int) -> BaselineTable:
        """Learn a baseline for every keyword of the history."""
        ...

    def score(self, window: WindowCounts, baselines: BaselineTable) -> Scores:
        """Score every keyword of one window; pure and vectorised. Works with an empty table too."""
        ...
