"""Scoring: from counted windows and baselines to outliers.

An outlier that an early pane announced and a later pane no longer sees is retracted. So the step remembers, per shard,
which keywords of the windows still open it has announced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import apache_beam as beam
import msgspec
import numpy as np
from apache_beam.metrics.metric import Metrics
from apache_beam.transforms.userstate import ReadModifyWriteRuntimeState, ReadModifyWriteStateSpec

from detection.baselines import BaselineTable
from detection.counts import WindowCounts
from detection.detector import SEVERITIES, Detector, Scores
from transforms.windows import CountedWindow, Pane

REMEMBERED_SECONDS = 6 * 3600
"""Announcements in windows older than this, in event time, are forgotten: no pane can revise them any more."""


class Outlier(NamedTuple):
    """One keyword in one window, as the tables and topics of outliers have it.

    Attributes:
        keyword: the keyword.
        window_start: start of the window, epoch seconds.
        mentions: posts that mention it.
        expected: mentions expected.
        lower: lower end of the usual range.
        upper: upper end of the usual range.
        p_value: probability of so many mentions or more.
        score: how unusual.
        severity: one of ``SEVERITIES``.
        status: ``provisional``, ``confirmed`` or ``retracted``.
        tide: mentions explained by the platform's growth.
        excess: mentions above what is explained.
        sample_posts: ids of the posts with the most engagement.
        baseline_version: version of the baselines it was judged by.
        detector: the detector that judged.
        pane: which firing of the window; ``Pane``.
        posts: posts of the whole platform in the window, at that firing.
    """

    keyword: str
    window_start: int
    mentions: int
    expected: float
    lower: float
    upper: float
    p_value: float
    score: float
    severity: str
    status: str
    tide: float
    excess: float
    sample_posts: list[int]
    baseline_version: int
    detector: str
    pane: int
    posts: int

    @property
    def key(self) -> str:
        """Identity of the outlier in topics: later messages of the same key supersede earlier ones."""
        return f"{self.keyword}|{self.window_start}"

    def to_json(self) -> bytes:
        """Return one line of JSON, times as ISO 8601 in UTC, post ids as strings (they exceed 2^53)."""
        fields = self._asdict()
        fields["window_start"] = datetime.fromtimestamp(self.window_start, UTC)
        fields["sample_posts"] = [str(post_id) for post_id in self.sample_posts]
        return msgspec.json.encode(fields)


class ScoredWindow(NamedTuple):
    """What scoring makes of a ``CountedWindow``.

    Attributes:
        window: the counts.
        outliers: what is to be told: outliers of this pane, then retractions of earlier panes' ones.
    """

    window: CountedWindow
    outliers: list[Outlier]


def score_window(
    window: CountedWindow, baselines: BaselineTable, detector: Detector, announced: list[str]
) -> list[Outlier]:
    """Score one pane.

    Args:
        window: the counts.
        baselines: what is usual.
        detector: what judges.
        announced: keywords that earlier panes of this shard and window called outliers.

    Returns:
        The outliers, then as ``retracted`` those announced before that are none any more.
    """
    counts = window.counts
    scores = detector.score(
        WindowCounts(counts.window_start, float(counts.posts), counts.keywords, counts.mentions), baselines
    )
    status = "provisional" if window.pane is Pane.EARLY else "confirmed"
    found = np.flatnonzero(scores.is_outlier)
    samples = counts.samples() if len(found) or announced else []
    outliers = [_outlier(window, scores, int(i), samples[i], status, baselines.version, detector.name) for i in found]
    gone = set(announced).difference(outlier.keyword for outlier in outliers)
    if gone:
        row = {keyword: i for i, keyword in enumerate(counts.keywords) if keyword in gone}
        outliers += [
            _outlier(window, scores, i, samples[i], "retracted", baselines.version, detector.name)
            for i in (row[keyword] for keyword in sorted(gone))
        ]
    return outliers


def _outlier(
    window: CountedWindow, scores: Scores, i: int, samples: list[int], status: str, version: int, detector: str
) -> Outlier:
    counts = window.counts
    return Outlier(
        keyword=counts.keywords[i],
        window_start=counts.window_start,
        mentions=int(counts.mentions[i]),
        expected=float(scores.expected[i]),
        lower=float(scores.lower[i]),
        upper=float(scores.upper[i]),
        p_value=float(scores.p_value[i]),
        score=float(scores.score[i]),
        severity=SEVERITIES[scores.severity[i]],
        status=status,
        tide=float(scores.tide[i]),
        excess=float(scores.excess[i]),
        sample_posts=samples,
        baseline_version=version,
        detector=detector,
        pane=int(window.pane),
        posts=counts.posts,
    )


class _ScoreFn(beam.DoFn):
    ANNOUNCED = ReadModifyWriteStateSpec("announced", beam.coders.BytesCoder())

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._keywords = Metrics.counter("ScoreWindows", "keywords")
        self._outliers = {
            status: Metrics.counter("ScoreWindows", f"outliers.{status}")
            for status in ("provisional", "confirmed", "retracted")
        }

    def process(
        self,
        element: tuple[int, CountedWindow],
        baselines: tuple[int, BaselineTable],
        state: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(ANNOUNCED),  # noqa: B008 - Beam's way
    ) -> Iterator[ScoredWindow]:
        _, window = element
        start = window.counts.window_start
        packed: bytes | None = state.read()
        announced = msgspec.msgpack.decode(packed, type=dict[int, list[str]]) if packed else {}
        outliers = score_window(window, baselines[1], self._detector, announced.get(start, []))
        self._keywords.inc(len(window.counts.keywords))
        for outlier in outliers:
            self._outliers[outlier.status].inc()
        now = [outlier.keyword for outlier in outliers if outlier.status != "retracted"]
        if now != announced.get(start, []):
            announced[start] = now
            newest = max(announced)
            kept = {s: k for s, k in announced.items() if k and newest - s <= REMEMBERED_SECONDS}
            state.write(msgspec.msgpack.encode(kept))
        yield ScoredWindow(window, outliers)


@dataclass
class ScoreWindows(beam.PTransform):
    """``(shard, CountedWindow)`` → ``ScoredWindow``.

    Attributes:
        detector: what judges.
        baselines: side input, ``(version, table)`` in force.
    """

    detector: Detector
    baselines: Any

    def expand(self, windows: beam.PCollection[tuple[int, CountedWindow]]) -> beam.PCollection[ScoredWindow]:
        """Score in the global window, where state outlives a window and every side input is at hand."""
        return (
            windows
            | "Globally" >> beam.WindowInto(beam.window.GlobalWindows()).with_output_types(tuple[int, CountedWindow])
            | "Score" >> beam.ParDo(_ScoreFn(self.detector), self.baselines)
        )
