"""Our detector on worlds and brand series, by the backtest's own loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from beam_pipelines.backtest import replay_counts
from beam_pipelines.counts_files import Counts
from detection.counts import WINDOW_SECONDS
from detection.keyword_detector import KeywordDetector

START = 1_614_556_800
"""Time of the first simulated window: 2021-03-01, a Monday."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What the detector said; arrays [windows, k], zero where a keyword had no mention.

    Attributes:
        scores: score, float32.
        outliers: alarms, bool.
        p_values: p-value, float32; 1 where a keyword had no mention.
    """

    scores: npt.NDArray[np.float32]
    outliers: npt.NDArray[np.bool_]
    p_values: npt.NDArray[np.float32]


def sparse(names: tuple[str, ...], counts: npt.NDArray[np.int32]) -> Counts:
    """Return dense counts int32[k, windows] as the sparse table of the backtest."""
    window, keyword = np.nonzero(counts.T)
    return Counts(
        names,
        keyword.astype(np.int32),
        START + WINDOW_SECONDS * window.astype(np.int64),
        counts[keyword, window].astype(np.int64),
    )


def run(
    names: tuple[str, ...],
    counts: npt.NDArray[np.int32],
    totals: npt.NDArray[np.float64] | None,
    detector: KeywordDetector | None = None,
) -> Outcome:
    """Score dense counts int32[k, windows]; totals float64[windows] or None if unknown."""
    shape = counts.shape[::-1]
    scores, outliers = np.zeros(shape, np.float32), np.zeros(shape, bool)
    p_values = np.ones(shape, np.float32)
    posts = {} if totals is None else {START + WINDOW_SECONDS * i: float(v) for i, v in enumerate(totals)}
    for scored in replay_counts(sparse(names, counts), posts, detector or KeywordDetector()):
        at = (scored.window_start - START) // WINDOW_SECONDS
        scores[at, scored.keyword] = scored.scores.score
        outliers[at, scored.keyword] = scored.scores.is_outlier
        p_values[at, scored.keyword] = scored.scores.p_value
    return Outcome(scores, outliers, p_values)
