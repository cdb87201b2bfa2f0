"""The scoring of the Numenta Anomaly Benchmark, standard profile.

Source: Lavin and Ahmad 2015, arXiv:1510.03336, section II.C. The earliest detection in a labelled span earns a scaled
sigmoid of its position (early is better), later ones in the span nothing; a detection outside costs up to 0.11, less
just behind a span; a missed span costs 1. The sum is scaled so that silence is 0 and a perfect detector 100.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FALSE_POSITIVE = 0.11
"""Weight of a false positive in the standard profile; true positives and misses weigh 1."""


def _sigmoid(y: float) -> float:
    return 2 / (1 + float(np.exp(min(5 * y, 700)))) - 1


def _detection_value(at: int, spans: Sequence[tuple[int, int]]) -> tuple[int, float]:
    """Return the span that a detection falls into (-1: none) and what it is worth there."""
    before = [i for i, (start, _) in enumerate(spans) if start <= at]
    if not before:
        return -1, -FALSE_POSITIVE
    start, end = spans[before[-1]]
    width = max(end - start - 1, 1)
    if at < end:
        return before[-1], _sigmoid(-(end - 1 - at + 1) / (width + 1))
    return -1, FALSE_POSITIVE * _sigmoid((at - (end - 1)) / width)


def raw_score(detections: Sequence[int], spans: Sequence[tuple[int, int]]) -> float:
    """Return the unscaled score of one series."""
    best = [-1.0] * len(spans)
    false = 0.0
    for at in sorted(detections):
        span, value = _detection_value(at, spans)
        if span < 0:
            false += value
        elif best[span] < 0:
            best[span] = value
    return sum(best) + false


def suppress(windows: npt.NDArray[np.int64], within: int) -> list[int]:
    """Drop every detection that follows a kept one by less than ``within`` windows."""
    kept: list[int] = []
    for at in windows.tolist():
        if not kept or at - kept[-1] >= within:
            kept.append(at)
    return kept


def scaled_score(
    detections: Sequence[Sequence[int]], spans: Sequence[Sequence[tuple[int, int]]], probation: Sequence[int]
) -> float:
    """Return the corpus's score, 0 (silence) to 100 (every span at its start, no false positive)."""
    raw = sum(
        raw_score([d for d in found if d >= p], s) for found, s, p in zip(detections, spans, probation, strict=True)
    )
    number = sum(len(s) for s in spans)
    perfect = number * _sigmoid(-1.0)
    return 100 * (raw + number) / (perfect + number)


def best_score(
    scores: Sequence[npt.NDArray[np.float64]],
    spans: Sequence[Sequence[tuple[int, int]]],
    probation: Sequence[int],
    within: int,
    steps: int = 60,
) -> tuple[float, float]:
    """Return the best scaled score over one threshold for all series, and that threshold.

    Args:
        scores: per series, the score of each window; NaN where there is none.
        spans: per series, labelled spans.
        probation: per series, first window that counts.
        within: detections within so many windows after one are its repeats.
        steps: thresholds tried, at quantiles of the daily maxima.
    """
    peaks = np.concatenate(
        [np.nanmax(np.pad(s, (0, -len(s) % 96), constant_values=-np.inf).reshape(-1, 96), axis=1) for s in scores]
    )
    best = (-np.inf, np.inf)
    for threshold in np.unique(np.quantile(peaks[np.isfinite(peaks)], np.linspace(0.5, 0.999, steps))):
        found = [suppress(np.flatnonzero(s >= threshold), within) for s in scores]
        best = max(best, (scaled_score(found, spans, probation), float(threshold)))
    return best
