"""The interface that every detector has, whether it runs in the stream, the daily fit or the backtest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

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
        p_value: probability of so many mentions or more if nothing is unusual, float64 in [0, 1]; of drops, of so few
            or fewer.
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

    @classmethod
    def none(cls) -> Scores:
        """Return the scores of no keyword."""
        empty = np.empty(0)
        return cls(empty, empty, empty, empty, empty, np.empty(0, np.int8), empty, empty)


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """What people can read of a baseline table; arrays in the order of its rows, length n.

    Attributes:
        level: mean mentions per window, at usual volume, float64.
        deviation: standard deviation of the mentions of a window, float64.
        tail: parameters of the keyword's tail, float64[n, t]; t is 0 for a detector without such.
        season: row of ``seasons``, int64; -1 where the keyword has no season of its own.
        seasons: log factors by hour of the week from Monday 00:00 UTC on, in steps of ``season_step``, int8[m, 168].
        season_step: the step.
        pooled: what all keywords share, as JSON values.
    """

    level: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    tail: npt.NDArray[np.float64]
    season: npt.NDArray[np.int64]
    seasons: npt.NDArray[np.int8]
    season_step: float
    pooled: Mapping[str, Any]

    @classmethod
    def empty(cls) -> Summary:
        """Return the summary of a table without rows."""
        none = np.empty(0)
        return cls.plain(none, none)

    @classmethod
    def plain(cls, level: npt.NDArray[np.float64], deviation: npt.NDArray[np.float64]) -> Summary:
        """Return the summary of a table without tails and seasons."""
        n = len(level)
        return cls(level, deviation, np.empty((n, 0)), np.full(n, -1), np.empty((0, 168), np.int8), 1.0, {})


class State(Protocol):
    """What a detector remembers of a shard of the keywords between windows; never changed in place."""

    def to_bytes(self) -> bytes:
        """Serialise."""
        ...


S = TypeVar("S", bound=State)


class StatefulDetector(Protocol[S]):
    """Learns baselines from history once a day, then scores windows against them. Holds options only, no state.

    A shard's windows are taken in one after the other with ``step``, which scores them and returns the state for the
    next. ``score`` says the same of a window and takes nothing in: for a window that is still open, or long over.
    """

    @property
    def name(self) -> str:
        """Name on the command line and in tables."""
        ...

    def span(self, history: CountHistory) -> tuple[int, int]:
        """Return the part of a history that ``fit`` learns from: start and end, epoch seconds."""
        ...

    def fit(self, history: CountHistory, version: int) -> BaselineTable:
        """Learn a baseline for every keyword of the history."""
        ...

    def summary(self, baselines: BaselineTable) -> Summary:
        """Return what people can read of a table that ``fit`` made."""
        ...

    def new_state(self) -> S:
        """Return the state of a shard before its first window."""
        ...

    def state_from_bytes(self, data: bytes) -> S:
        """Read what the state's ``to_bytes`` wrote.

        Raises:
            ValueError: the bytes are not such a state.
        """
        ...

    def score(self, window: WindowCounts, baselines: BaselineTable, state: S, *, partial: bool = False) -> Scores:
        """Score every keyword of one window; pure and vectorised. Works with an empty table and a new state too.

        Args:
            window: the window.
            baselines: the current baselines.
            state: the state after the window before.
            partial: whether the window is still open.
        """
        ...

    def step(self, window: WindowCounts, baselines: BaselineTable, state: S) -> tuple[Scores, S]:
        """Score a closed window and return the state after it."""
        ...

    def drops(self, window: WindowCounts, baselines: BaselineTable, state: S) -> tuple[WindowCounts, Scores]:
        """Return the keywords that have fallen silent, each an outlier, with their mentions in the window, maybe 0.

        Args:
            window: a closed window.
            baselines: the current baselines.
            state: the state after the window.
        """
        ...


Detector: TypeAlias = StatefulDetector[Any]
"""A detector, whatever its state is."""
