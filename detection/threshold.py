"""The rule of the original project, computed rightly: mentions at or above mean + 2.5 standard deviations.

The mean and the standard deviation are those of the keyword's 15-minute windows over the last days, windows without a
mention counting as zeros. (The original took both from seven daily totals divided by 96, which makes the deviation of a
window some ten times too small.) Kept for comparison: it knows no season, no platform volume and no heavy tail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from detection.baselines import BaselineTable, keyword_hashes
from detection.counts import WINDOWS_PER_DAY, CountHistory, WindowCounts
from detection.detector import Scores, Summary


@dataclass(frozen=True, slots=True)
class NoState:
    """The state of a detector that remembers nothing."""

    def to_bytes(self) -> bytes:
        """Return no bytes."""
        return b""


@dataclass(frozen=True)
class ThresholdDetector:
    """Mean + ``deviations`` × standard deviation, for keywords with a mean of at least ``least_mean``.

    Attributes:
        deviations: standard deviations above the mean from which a count is an outlier.
        least_mean: mentions per window that a keyword must have on average.
        history_days: days of history that are used.
    """

    deviations: float = 2.5
    least_mean: float = 1.0
    history_days: int = 7
    name: str = "threshold"

    def span(self, history: CountHistory) -> tuple[int, int]:
        """Return the last ``history_days`` days of a history, or all that it has."""
        return max(history.start, history.end - self.history_days * 86_400), history.end

    def fit(self, history: CountHistory, version: int) -> BaselineTable:
        """Compute mean (``level``) and standard deviation (``dispersion``) of every keyword's windows."""
        start, end = self.span(history)
        windows = max((end - start) // (86_400 // WINDOWS_PER_DAY), 1)
        recent = (history.window >= start) & (history.window < end)
        keyword, mentions = history.keyword[recent], history.mentions[recent].astype(np.float64)
        n = len(history.keywords)
        mean = np.bincount(keyword, mentions, minlength=n) / windows
        variance = np.bincount(keyword, mentions**2, minlength=n) / windows - mean**2
        columns = {
            "level": mean.astype(np.float32),
            "dispersion": np.sqrt(np.maximum(variance, 0)).astype(np.float32),
        }
        return BaselineTable.build(version, self.name, keyword_hashes(history.keywords), columns)

    def summary(self, baselines: BaselineTable) -> Summary:
        """Return what people can read of a table: all of it."""
        if not len(baselines):
            return Summary.empty()
        columns = baselines.columns
        return Summary.plain(columns["level"].astype(float), columns["dispersion"].astype(float))

    def new_state(self) -> NoState:
        """Return the state of a shard: none."""
        return NoState()

    def state_from_bytes(self, data: bytes) -> NoState:  # noqa: ARG002 - the interface of all detectors
        """Return the state of a shard: none."""
        return NoState()

    def step(self, window: WindowCounts, baselines: BaselineTable, state: NoState) -> tuple[Scores, NoState]:
        """Score a closed window; nothing is remembered."""
        return self.score(window, baselines, state), state

    def drops(
        self,
        window: WindowCounts,
        baselines: BaselineTable,  # noqa: ARG002 - the interface of all detectors
        state: NoState,  # noqa: ARG002
    ) -> tuple[WindowCounts, Scores]:
        """Return nothing: the rule knows no drops."""
        return replace(window, keywords=(), mentions=np.empty(0, np.int64)), Scores.none()

    def score(
        self,
        window: WindowCounts,
        baselines: BaselineTable,
        state: NoState,  # noqa: ARG002 - the interface of all detectors
        *,
        partial: bool = False,  # noqa: ARG002 - an open window is judged by the same bound
    ) -> Scores:
        """Score by standard deviations above the mean; the p-value is that of a normal distribution."""
        n = len(window.keywords)
        mean, deviation = np.zeros(n), np.zeros(n)
        rows = baselines.find(keyword_hashes(window.keywords))
        known = rows >= 0
        if len(baselines):
            mean[known] = baselines.columns["level"][rows[known]]
            deviation[known] = baselines.columns["dispersion"][rows[known]]
        mentions = window.mentions.astype(np.float64)
        upper = mean + self.deviations * deviation
        excess = mentions - mean
        # A keyword that never varied has no scale; any excess over it is compared with one mention.
        z = excess / np.where(deviation > 0, deviation, 1.0)
        outlier = (mean >= self.least_mean) & (mentions >= upper) & (excess > 0)
        severity = np.where(
            outlier, np.digitize(z, (2 * self.deviations, 4 * self.deviations, 8 * self.deviations)) + 1, 0
        )
        return Scores(
            expected=mean,
            lower=np.maximum(mean - self.deviations * deviation, 0),
            upper=upper,
            p_value=special.ndtr(-z),
            score=z,
            severity=severity.astype(np.int8),
            tide=np.zeros(n),
            excess=excess,
        )
