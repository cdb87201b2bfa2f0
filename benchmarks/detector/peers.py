"""Other detectors on the same counts: rolling z-score, the original rule, Beam's ``ml.anomaly`` scores.

The Beam detectors are restated on arrays (ZScore, RobustZScore, IQR of apache_beam.ml.anomaly.detectors, with its
default window of 1,000 values), for its transform scores one element of one key at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from detection.counts import WINDOWS_PER_DAY

Counts = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float32]

BEAM_WINDOW = 1000
"""Values that a Beam tracker remembers."""

REFRESH = 4
"""Windows between refreshes of the rolling quantiles, which cost too much to keep up to date."""

LEAST_VARIANCE = 0.05


def rolling_zscore(counts: Counts, windows: int) -> Scores:
    """Return (count − mean) / standard deviation of the ``windows`` before, float32[windows, k]."""
    values = counts.T.astype(float)
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    squares = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values**2, axis=0)])
    here = np.arange(len(values))
    there = np.maximum(here - windows, 0)
    number = np.maximum(here - there, 1)[:, None]
    mean = (total[here] - total[there]) / number
    variance = np.maximum((squares[here] - squares[there]) / number - mean**2, LEAST_VARIANCE)
    scores = (values - mean) / np.sqrt(variance)
    scores[:WINDOWS_PER_DAY] = 0
    return np.asarray(scores, np.float32)


def _rolling_quantiles(counts: Counts, score: Callable[[npt.NDArray[np.float32], Scores], Scores]) -> Scores:
    values = np.ascontiguousarray(counts.T, np.float32)
    out = np.zeros_like(values)
    for at in range(WINDOWS_PER_DAY, len(values), REFRESH):
        past = values[max(0, at - BEAM_WINDOW) : at]
        quartiles = np.quantile(past, (0.25, 0.5, 0.75), axis=0, method="lower").astype(np.float32)
        spread = np.median(np.abs(past - quartiles[1]), axis=0)
        out[at : at + REFRESH] = score(values[at : at + REFRESH], np.vstack([quartiles, spread]))
    return out


def robust_zscore(counts: Counts) -> Scores:
    """Return 0.6745 (count − median) / median absolute deviation; a deviation of 0 counts as half a mention."""
    return _rolling_quantiles(counts, lambda x, q: np.asarray(0.6745 * (x - q[1]) / np.maximum(q[3], 0.5)))


def interquartile(counts: Counts) -> Scores:
    """Return (count − upper quartile) / interquartile range; a range of 0 counts as one mention."""
    return _rolling_quantiles(counts, lambda x, q: np.asarray((x - q[2]) / np.maximum(q[2] - q[0], 1.0)))


def original_rule(counts: Counts) -> Scores:
    """Return standard deviations above the mean of the seven days before, refreshed daily; 0 for a mean below 1."""
    values = counts.T.astype(np.float32)
    out = np.zeros_like(values)
    for at in range(WINDOWS_PER_DAY, len(values), WINDOWS_PER_DAY):
        past = values[max(0, at - 7 * WINDOWS_PER_DAY) : at]
        mean, deviation = past.mean(axis=0), np.maximum(past.std(axis=0), np.sqrt(LEAST_VARIANCE))
        today = values[at : at + WINDOWS_PER_DAY]
        out[at : at + WINDOWS_PER_DAY] = np.where(mean >= 1, (today - mean) / deviation, 0)
    return out


PEERS: dict[str, Callable[[Counts], Scores]] = {
    "original rule": original_rule,
    "z-score, 7 days": lambda counts: rolling_zscore(counts, 7 * WINDOWS_PER_DAY),
    "z-score, 28 days": lambda counts: rolling_zscore(counts, 28 * WINDOWS_PER_DAY),
    "Beam ZScore": lambda counts: rolling_zscore(counts, BEAM_WINDOW),
    "Beam RobustZScore": robust_zscore,
    "Beam IQR": interquartile,
}
"""Name → scores float32[windows, k] of counts int32[k, windows]."""
