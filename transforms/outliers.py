"""Outliers: what scoring tells of a window, and what it takes back when a later pane no longer sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import numpy as np

from detection.counts import WindowCounts
from detection.detector import SEVERITIES, Scores
from transforms.packing import register
from transforms.windows import CountedWindow, Pane

REMEMBERED_SECONDS = 6 * 3600
"""Announcements in windows that are so much older than the newest closed one are forgotten: no pane can revise them."""


class Outlier(NamedTuple):
    """One keyword in one window, as the tables and topics of outliers have it: a surge, or a drop.

    Attributes:
        keyword: the keyword.
        window_start: start of the window, epoch seconds.
        mentions: posts that mention it.
        expected: mentions expected.
        lower: lower end of the usual range.
        upper: upper end of the usual range.
        p_value: probability of so many mentions or more; of a drop, of so few or fewer.
        score: how unusual.
        severity: one of ``SEVERITIES``.
        status: ``provisional``, ``confirmed`` or ``retracted``.
        tide: mentions explained by the platform's growth.
        excess: mentions above what is explained; negative for a drop.
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

    @property
    def is_drop(self) -> bool:
        """Whether the keyword has fallen silent."""
        return self.excess < 0

    def to_json(self) -> bytes:
        """Return one line of JSON, times as ISO 8601 in UTC, post ids as strings (they exceed 2^53)."""
        fields = self._asdict()
        fields["window_start"] = datetime.fromtimestamp(self.window_start, UTC)
        fields["sample_posts"] = [str(post_id) for post_id in self.sample_posts]
        return msgspec.json.encode(fields)

    def to_message(self) -> bytes:
        """Return it as for a topic."""
        return self.to_json()


@dataclass(frozen=True, slots=True, eq=False)
class ScoredWindow:
    """What scoring makes of a ``CountedWindow``.

    Attributes:
        window: the counts.
        outliers: the outliers of this pane, then retractions of those that earlier panes told.
    """

    window: CountedWindow
    outliers: list[Outlier]

    @property
    def age(self) -> tuple[int, int]:
        """Order of the panes of one window: a larger one knows more."""
        return int(self.window.pane), self.window.counts.posts

    def to_bytes(self) -> bytes:
        """Pack for the wire."""
        return msgspec.msgpack.encode((self.window.to_bytes(), self.outliers))

    @classmethod
    def from_bytes(cls, data: bytes) -> ScoredWindow:
        """Unpack what ``to_bytes`` packed."""
        window, outliers = _unpack_scored(data)
        return cls(CountedWindow.from_bytes(window), outliers)


_unpack_scored = msgspec.msgpack.Decoder(tuple[bytes, list[Outlier]]).decode
register(ScoredWindow)


def outliers_of(window: CountedWindow, scores: Scores, version: int, detector: str) -> list[Outlier]:
    """Return the outliers among a pane's keywords.

    Args:
        window: the pane.
        scores: its scores.
        version: version of the baselines that they rest on.
        detector: name of the detector.
    """
    counts, found = window.counts, np.flatnonzero(scores.is_outlier).tolist()
    samples = counts.samples() if found else []
    return [
        _outlier(window, counts.keywords[i].as_py(), int(counts.mentions[i]), scores, i, samples[i], version, detector)
        for i in found
    ]


def drops_of(window: CountedWindow, silent: WindowCounts, scores: Scores, version: int, detector: str) -> list[Outlier]:
    """Return the keywords that have fallen silent as outliers of a pane; arguments as of ``outliers_of``."""
    return [
        _outlier(window, keyword, mentions, scores, i, [], version, detector)
        for i, (keyword, mentions) in enumerate(zip(silent.keywords, silent.mentions.tolist(), strict=True))
    ]


def _outlier(
    window: CountedWindow,
    keyword: str,
    mentions: int,
    scores: Scores,
    i: int,
    samples: list[int],
    version: int,
    detector: str,
) -> Outlier:
    return Outlier(
        keyword=keyword,
        window_start=window.counts.window_start,
        mentions=mentions,
        expected=float(scores.expected[i]),
        lower=float(scores.lower[i]),
        upper=float(scores.upper[i]),
        p_value=float(scores.p_value[i]),
        score=float(scores.score[i]),
        severity=SEVERITIES[scores.severity[i]],
        status="provisional" if window.pane is Pane.EARLY else "confirmed",
        tide=float(scores.tide[i]),
        excess=float(scores.excess[i]),
        sample_posts=samples,
        baseline_version=version,
        detector=detector,
        pane=int(window.pane),
        posts=window.counts.posts,
    )


@dataclass(frozen=True)
class Announced:
    """What was told of one window: by which pane (``ScoredWindow.age``), and which outliers."""

    age: tuple[int, int]
    outliers: list[Outlier]


def retract(scored: ScoredWindow, announced: dict[int, Announced]) -> tuple[ScoredWindow, dict[int, Announced]]:
    """Add to a pane's outliers the retractions of those announced before that are none any more.

    Args:
        scored: a pane; one that is older than what was announced passes unchanged, for sinks know to ignore it.
        announced: what was told so far of the shard's windows, by window start.

    Returns:
        The pane with its retractions, and what has been told now.
    """
    start = scored.window.counts.window_start
    before = announced.get(start, Announced((-1, 0), []))
    if scored.age < before.age:
        return scored, announced
    still = {outlier.keyword for outlier in scored.outliers}
    pane, posts = scored.age
    gone = [
        outlier._replace(status="retracted", severity=SEVERITIES[0], pane=pane, posts=posts)
        for outlier in before.outliers
        if outlier.keyword not in still
    ]
    told = announced | {start: Announced(scored.age, scored.outliers)}
    # When a job catches up, many windows are open at once, and the newest of them may be a day ahead of the watermark.
    closed = [window for window, what in told.items() if what.age[0] > Pane.EARLY]
    oldest = max(closed, default=0) - REMEMBERED_SECONDS
    told = {window: what for window, what in told.items() if window >= oldest}
    return ScoredWindow(scored.window, scored.outliers + gone), told


def uphold(window: CountedWindow, told: list[Outlier]) -> ScoredWindow:
    """Let stand what was told of a window, with the counts of a later pane.

    For a pane that can no longer be judged by what was known before its window. Counts only grow, so an outlier stays
    one, but for a drop, of which a few more mentions are taken to make none the less of it; nothing new is told.

    Args:
        window: the pane.
        told: the outliers that were told of its window last.
    """
    mentions = dict(zip(window.counts.words(), window.counts.mentions.tolist(), strict=True))
    standing = [
        outlier._replace(
            mentions=mentions.get(outlier.keyword, 0),
            excess=mentions.get(outlier.keyword, 0) - outlier.expected,
            status="confirmed",
            pane=int(window.pane),
            posts=window.counts.posts,
        )
        for outlier in told
        if outlier.keyword in mentions or outlier.is_drop
    ]
    return ScoredWindow(window, standing)
