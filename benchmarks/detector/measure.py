"""Measures of detection on worlds and brand series, the same for every detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.detector import nab
from benchmarks.detector.brands import Brand
from benchmarks.detector.world import SHAPES, World
from detection.counts import WINDOWS_PER_DAY

Scores = npt.NDArray[np.float32]

NEAR = 16
"""Windows outside events that may be one false incident: four hours."""

ECHO = 6
"""Windows after an event in which an alarm still belongs to it."""

FALSE_PER_DAY = 25.0
"""False incidents a day and 10,000 keywords at which recall is read."""

PROBATION = 0.15
"""Share of a brand's series that does not count, as in NAB."""


@dataclass(frozen=True, slots=True)
class Detection:
    """How a detector did on a world.

    Attributes:
        window_aupr: area under precision–recall (average precision) over windows with mentions.
        event_aupr: the same over events (largest score of each) against four-hour stretches outside events.
        recall: share of events found at ``FALSE_PER_DAY``.
        by_shape: recall by event shape.
        delay: median windows from an event's start to its first alarm, of those found.
    """

    window_aupr: float
    event_aupr: float
    recall: float
    by_shape: dict[str, float]
    delay: float


def average_precision(scores: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_]) -> float:
    """Return the area under the precision–recall curve as average precision."""
    hits = truth[np.argsort(-scores, kind="stable")]
    if not hits.any():
        return float("nan")
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def event_peaks(world: World, scores: Scores) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Return the largest score of each event, and of each four-hour stretch of a keyword outside events.

    Args:
        world: the world.
        scores: float32[windows from ``first_window``, k].
    """
    first = world.first_window
    outside = np.where((world.counts[:, first:] > 0).T, scores, -np.inf)
    peaks = []
    for event in world.events:
        peaks.append(scores[event.start - first : event.end - first + 2, event.keyword].max())
        outside[max(0, event.start - first) : event.end - first + ECHO, event.keyword] = -np.inf
    windows = len(outside) // NEAR * NEAR
    return np.array(peaks), outside[:windows].reshape(-1, NEAR, outside.shape[1]).max(axis=1).ravel()


def precision_recall(world: World, scores: Scores) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return precision and recall over events, by descending score."""
    found, quiet = event_peaks(world, scores)
    order = np.argsort(-np.concatenate([found, quiet]), kind="stable")
    hits = np.cumsum(order < len(found))
    return hits / np.arange(1, len(hits) + 1), hits / max(len(found), 1)


def on_world(world: World, scores: Scores) -> Detection:
    """Measure scores float32[windows from ``first_window``, k] on a world."""
    first = world.first_window
    mentioned = (world.counts[:, first:] > 0).T
    labels = world.labels[:, first:].T
    found, quiet = event_peaks(world, scores)
    days = len(scores) / WINDOWS_PER_DAY
    allowed = int(FALSE_PER_DAY * world.counts.shape[0] / 10_000 * days)
    threshold = float(np.partition(quiet, -allowed - 1)[-allowed - 1])
    delays = [
        int(np.argmax(scores[e.start - first : e.end - first + 2, e.keyword] > threshold))
        for e, peak in zip(world.events, found, strict=True)
        if peak > threshold
    ]
    shape = np.array([event.shape for event in world.events])
    return Detection(
        average_precision(scores[mentioned], labels[mentioned]),
        average_precision(np.concatenate([found, quiet]), np.arange(len(found) + len(quiet)) < len(found)),
        float((found > threshold).mean()),
        {s: float((found[shape == s] > threshold).mean()) for s in SHAPES if (shape == s).any()},
        float(np.median(delays)) if delays else float("nan"),
    )


def on_brands(brands: Sequence[Brand], scores: Scores) -> tuple[float, float]:
    """Return the best NAB score over thresholds for scores float32[windows, brands], and the threshold."""
    columns = [scores[:, i].astype(float) for i in range(len(brands))]
    start = [int(len(b.counts) * PROBATION) for b in brands]
    return nab.best_score(columns, [b.spans for b in brands], start, WINDOWS_PER_DAY)


def alarms_on_brands(brands: Sequence[Brand], outliers: npt.NDArray[np.bool_]) -> float:
    """Return the NAB score of a detector's own alarms, bool[windows, brands], repeats within a day dropped."""
    found = [nab.suppress(np.flatnonzero(outliers[:, i]), WINDOWS_PER_DAY) for i in range(len(brands))]
    start = [int(len(b.counts) * PROBATION) for b in brands]
    return nab.scaled_score(found, [b.spans for b in brands], start)
