"""Replay past counts through the detector: ``python -m beam_pipelines.backtest --counts FILE --output FILE``.

Causal by construction: the baselines of a day are fitted to the days before it, and windows are scored in order with
the code of the stream. Needs neither Beam nor a database.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from beam_pipelines.counts_files import Counts, parse_time, read_counts, read_totals
from beam_pipelines.detectors import DEFAULT_ALERTS_PER_DAY, DEFAULT_DETECTOR, DETECTORS
from detection import incidents
from detection.baselines import BaselineTable, keyword_hashes
from detection.counts import WINDOW_SECONDS, WINDOWS_PER_DAY, CountHistory, WindowCounts
from detection.detector import SEVERITIES, Scores
from detection.hourly import DAY_SECONDS, HourlyCounts
from detection.keyword_detector import KeywordDetector, hourly_volume
from detection.threshold import ThresholdDetector
from programs.errors import start

AnyDetector = KeywordDetector | ThresholdDetector


@dataclass(frozen=True, slots=True)
class Config:
    """A validated command line.

    Attributes:
        counts: files of counts.
        totals: file of the platform's posts per window, or None.
        output: file to write.
        history_days: days that a baseline is fitted to.
        evaluate_from: first window written, epoch seconds, or None for all.
        detector: name of the detector.
        all_windows: write windows without mentions too, from a keyword's first mention on.
        alerts_per_day: the alert budget.
    """

    counts: tuple[Path, ...]
    totals: Path | None
    output: Path
    history_days: int
    evaluate_from: int | None
    detector: str
    all_windows: bool
    alerts_per_day: float


def parse(argv: Sequence[str] | None = None) -> Config:
    """Parse and validate the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m beam_pipelines.backtest",
        description="Score past counts of mentions as the stream would have scored them.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--counts", nargs="+", required=True, type=Path, metavar="FILE",
        help="CSV or CSV.gz: keyword,window_start,mentions; ISO 8601, UTC; absent windows are zeros",
    )  # fmt: skip
    parser.add_argument(
        "--totals", type=Path, metavar="FILE",
        help="CSV: window_start,total_posts of the whole platform; without it the volume counts as constant",
    )  # fmt: skip
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="CSV to write (.gz to compress)")
    parser.add_argument("--window_minutes", type=int, default=15, help="length of a window; 15 is the one supported")
    parser.add_argument("--history_days", type=int, default=28, help="days before a day that its baseline sees")
    parser.add_argument("--evaluate_from", metavar="ISO", help="write windows from this time on, e.g. 2021-03-29")
    parser.add_argument("--detector", choices=sorted(DETECTORS), default=DEFAULT_DETECTOR, help="what scores")
    parser.add_argument("--all_windows", action="store_true", help="also write windows without mentions")
    parser.add_argument(
        "--alerts_per_day", type=float, default=DEFAULT_ALERTS_PER_DAY, help="incidents a day to aim at, all keywords"
    )
    args = parser.parse_args(argv)
    if args.window_minutes * 60 != WINDOW_SECONDS:
        parser.error(
            f"--window_minutes {args.window_minutes}: the detector's windows are {WINDOW_SECONDS // 60} minutes"
        )
    if args.history_days < 1:
        parser.error("--history_days must be at least 1")
    if not args.alerts_per_day > 0 or not math.isfinite(args.alerts_per_day):
        parser.error("--alerts_per_day must be above 0")
    first = None
    if args.evaluate_from:
        try:
            first = parse_time(args.evaluate_from)
        except ValueError:
            parser.error(f"--evaluate_from {args.evaluate_from!r} is not an ISO 8601 time, e.g. 2021-03-29T00:00:00Z")
    return Config(
        tuple(args.counts), args.totals, args.output, args.history_days, first,
        args.detector, args.all_windows, args.alerts_per_day,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class ScoredWindow:
    """The scores of one window.

    Attributes:
        window_start: epoch seconds.
        keyword: index of each keyword, int[n].
        mentions: int64[n].
        scores: length n.
        opened: window index at which each outlier's incident opened, int64[n]; meaningless for others.
    """

    window_start: int
    keyword: npt.NDArray[np.int64]
    mentions: npt.NDArray[np.int64]
    scores: Scores
    opened: npt.NDArray[np.int64]


class KeywordEngine:
    """Our detector in the backtest: fits a day from the hours before it, carries the shard's state."""

    def __init__(self, detector: KeywordDetector, past: Past) -> None:
        self._detector, self._past = detector, past
        self._order = np.argsort(past.hashes)
        self._hours: list[HourlyCounts] = []
        self._state = detector.new_state()
        self._baselines = BaselineTable.empty(detector.name)

    def begin_day(self, day: int) -> None:
        """Fit to the days before ``day``."""
        if not day:
            return
        self._hours = [*self._hours, self._past.hours(day - 1)][-self._detector.history_days :]
        days = len(self._hours)
        posts = self._past.posts[(day - days) * WINDOWS_PER_DAY : day * WINDOWS_PER_DAY]
        usual, volume = hourly_volume(posts, days * 24)
        parts = self._detector.fit_hourly(HourlyCounts.joined(self._hours, volume), self._order)
        self._baselines = self._detector.table(self._past.hashes[self._order], parts, usual, day)

    def score(self, window: WindowCounts) -> Scores:
        """Score the next window."""
        scores, self._state = self._detector.step(window, self._baselines, self._state)
        return scores


class ThresholdEngine:
    """The original rule in the backtest."""

    def __init__(self, detector: ThresholdDetector, past: Past) -> None:
        self._detector, self._past = detector, past
        self._baselines = BaselineTable.empty(detector.name)

    def begin_day(self, day: int) -> None:
        """Fit to the days before ``day``."""
        if day:
            history = self._past.history(max(0, day - self._detector.history_days), day)
            self._baselines = self._detector.fit(history, day)

    def score(self, window: WindowCounts) -> Scores:
        """Score the next window."""
        return self._detector.score(window, self._baselines, self._detector.new_state())


class Past:
    """Counts by day and window.

    Attributes:
        counts: the counts, sorted by window.
        start: midnight UTC of the first day, epoch seconds.
        days: days from the first to the last window.
        posts: posts of the platform per window, NaN where unknown, float64[days × 96].
        hashes: hash of each keyword.
    """

    def __init__(self, counts: Counts, totals: Mapping[int, float]) -> None:
        self.counts = counts
        self.start = int(counts.window[0]) // DAY_SECONDS * DAY_SECONDS
        self.last = (int(counts.window[-1]) - self.start) // WINDOW_SECONDS
        self.days = self.last // WINDOWS_PER_DAY + 1
        edges = self.start + WINDOW_SECONDS * np.arange(self.days * WINDOWS_PER_DAY + 1)
        self.posts = np.array([totals.get(int(edge), np.nan) for edge in edges[:-1]])
        self.hashes = keyword_hashes(counts.keywords)
        self._bounds = np.searchsorted(counts.window, edges)

    def window(self, index: int) -> slice:
        """Return the rows of a window."""
        return slice(int(self._bounds[index]), int(self._bounds[index + 1]))

    def _rows(self, first: int, last: int) -> slice:
        return slice(int(self._bounds[first * WINDOWS_PER_DAY]), int(self._bounds[last * WINDOWS_PER_DAY]))

    def hours(self, day: int) -> HourlyCounts:
        """Return the hours of a day, keywords in the order of ``counts.keywords``."""
        rows = self._rows(day, day + 1)
        return HourlyCounts.from_rows(
            self.counts.keyword[rows].astype(np.int64), self.counts.window[rows], self.counts.mentions[rows],
            len(self.counts.keywords), self.start + day * DAY_SECONDS, np.ones(24),
        )  # fmt: skip

    def history(self, first: int, last: int) -> CountHistory:
        """Return the history of some days."""
        rows = self._rows(first, last)
        return CountHistory(
            self.counts.keywords, self.counts.keyword[rows], self.counts.window[rows], self.counts.mentions[rows],
            self.start + first * DAY_SECONDS, self.start + last * DAY_SECONDS,
            self.posts[first * WINDOWS_PER_DAY : last * WINDOWS_PER_DAY],
        )  # fmt: skip


def replay_counts(
    counts: Counts, totals: Mapping[int, float], detector: AnyDetector, *, all_windows: bool = False
) -> Iterator[ScoredWindow]:
    """Score every window from the first day on, in order.

    Args:
        counts: the counts, sorted by window.
        totals: posts of the platform per window start; empty if unknown.
        detector: fits each day and scores each window.
        all_windows: also score keywords without mentions, from the window of their first mention on.
    """
    past = Past(counts, totals)
    engine = KeywordEngine(detector, past) if isinstance(detector, KeywordDetector) else ThresholdEngine(detector, past)
    size = len(counts.keywords)
    names = np.array(counts.keywords, object)
    first_seen = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(first_seen, counts.keyword, counts.window)
    outlier_at: incidents.Indices = np.full(size, incidents.NEVER, np.int32)
    opened_at = outlier_at
    for day in range(past.days):
        engine.begin_day(day)
        for w in range(day * WINDOWS_PER_DAY, min((day + 1) * WINDOWS_PER_DAY, past.last + 1)):
            rows, moment = past.window(w), past.start + w * WINDOW_SECONDS
            keyword, mentions = counts.keyword[rows].astype(np.int64), counts.mentions[rows]
            if all_windows:
                dense = np.zeros(size, np.int64)
                dense[keyword] = mentions
                keyword = np.flatnonzero(first_seen <= moment)
                mentions = dense[keyword]
            scores = engine.score(WindowCounts(moment, float(past.posts[w]), tuple(names[keyword]), mentions))
            out = keyword[scores.is_outlier]
            outlier_at, opened_at = incidents.follow(moment // WINDOW_SECONDS, out, outlier_at, opened_at)
            yield ScoredWindow(moment, keyword, mentions, scores, opened_at[keyword].astype(np.int64))


_SCHEMA = pa.schema([
    ("keyword", pa.string()), ("window_start", pa.string()), ("mentions", pa.int64()), ("expected", pa.float64()),
    ("lower", pa.float64()), ("upper", pa.float64()), ("p_value", pa.float64()), ("score", pa.float64()),
    ("severity", pa.string()), ("is_outlier", pa.string()), ("incident", pa.string()),
])  # fmt: skip


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_batch(scored: Sequence[ScoredWindow], keywords: pa.Array) -> pa.RecordBatch:
    """Return rows of the output for some windows."""
    scores = [s.scores for s in scored]

    def column(name: str, digits: int) -> pa.Array:
        return pa.array(np.round(np.concatenate([getattr(s, name) for s in scores]), digits))

    severity = np.concatenate([s.severity for s in scores])
    starts = [_iso(s.window_start) for s in scored]
    opened = np.where(severity > 0, np.concatenate([s.opened for s in scored]), -1)
    unique, codes = np.unique(opened, return_inverse=True)
    incidents = pa.array(["" if u < 0 else _iso(int(u) * WINDOW_SECONDS) for u in unique.tolist()], pa.string())
    p_value = np.concatenate([s.p_value for s in scores])
    window = np.repeat(np.arange(len(scored)), [len(s.keyword) for s in scored])
    return pa.RecordBatch.from_arrays(
        [
            keywords.take(pa.array(np.concatenate([s.keyword for s in scored]))),
            pa.array(starts, pa.string()).take(pa.array(window)),
            pa.array(np.concatenate([s.mentions for s in scored])),
            column("expected", 4),
            column("lower", 0),
            column("upper", 0),
            pa.array(p_value),
            column("score", 5),
            pa.array(SEVERITIES, pa.string()).take(pa.array(severity.astype(np.int64))),
            pa.array(["false", "true"], pa.string()).take(pa.array((severity > 0).astype(np.int64))),
            incidents.take(pa.array(codes.reshape(-1))),
        ],
        schema=_SCHEMA,
    )


def backtest(config: Config) -> int:
    """Run a backtest; return the number of rows written."""

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    counts = read_counts(config.counts, say)
    totals = read_totals(config.totals) if config.totals else {}
    detector: AnyDetector
    if config.detector == ThresholdDetector.name:
        detector = ThresholdDetector(history_days=min(config.history_days, 7))
    else:
        detector = KeywordDetector(config.alerts_per_day, config.history_days)
    names = pa.array(counts.keywords, pa.string())
    written, outliers, pending = 0, 0, list[ScoredWindow]()
    config.output.parent.mkdir(parents=True, exist_ok=True)
    options = pacsv.WriteOptions(quoting_style="needed")
    partial = config.output.with_name(config.output.name + ".partial")
    compression = "gzip" if config.output.suffix == ".gz" else None
    with (
        pa.output_stream(str(partial), compression=compression) as sink,
        pacsv.CSVWriter(sink, _SCHEMA, write_options=options) as out,
    ):

        def flush() -> None:
            nonlocal written, outliers
            if pending:
                batch = to_batch(pending, names)
                out.write_batch(batch)
                written += len(batch)
                outliers += sum(int(s.scores.is_outlier.sum()) for s in pending)
                say(f"{_iso(pending[-1].window_start)[:10]}: {written:,} rows, {outliers:,} outlier windows")
            pending.clear()

        for scored in replay_counts(counts, totals, detector, all_windows=config.all_windows):
            if config.evaluate_from is not None and scored.window_start < config.evaluate_from:
                continue
            if pending and pending[0].window_start // DAY_SECONDS != scored.window_start // DAY_SECONDS:
                flush()
            if len(scored.keyword):
                pending.append(scored)
        flush()
    partial.replace(config.output)
    return written


def run(argv: Sequence[str]) -> int:
    """Parse the options and run the backtest."""
    backtest(parse(argv))
    return 0


if __name__ == "__main__":
    start(run)
