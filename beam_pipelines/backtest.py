"""Replay past counts through the detector: ``python -m beam_pipelines.backtest --counts FILE --output FILE``.

Causal by construction: the baselines of a day are fitted to the days before it, and windows are scored in order with
the code of the stream. Needs neither Beam nor a database.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from beam_pipelines.counts_files import Counts, CountsError, parse_time, read_counts, read_totals
from detection.baselines import BaselineTable, keyword_hashes
from detection.counts import WINDOW_SECONDS, WindowCounts
from detection.detector import SEVERITIES, Scores
from detection.fit import fit
from detection.hourly import DAY_SECONDS, HourlyCounts
from detection.keyword_detector import KeywordDetector, hourly_volume
from detection.online import Known, ShardState

DETECTORS = ("return_period", "threshold", "zscore")


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
    parser.add_argument("--detector", choices=DETECTORS, default=DETECTORS[0], help="what scores")
    parser.add_argument("--all_windows", action="store_true", help="also write windows without mentions")
    parser.add_argument("--alerts_per_day", type=float, default=100.0, help="incidents a day to aim at, all keywords")
    args = parser.parse_args(argv)
    if args.window_minutes * 60 != WINDOW_SECONDS:
        parser.error(f"--window_minutes {args.window_minutes}: the detector's windows are {WINDOW_SECONDS // 60} minutes")
    if args.history_days < 1:
        parser.error("--history_days must be at least 1")
    if not args.alerts_per_day > 0 or not math.isfinite(args.alerts_per_day):
        parser.error("--alerts_per_day must be above 0")
    start = None
    if args.evaluate_from:
        try:
            start = parse_time(args.evaluate_from)
        except ValueError:
            parser.error(f"--evaluate_from {args.evaluate_from!r} is not an ISO 8601 time, e.g. 2021-03-29T00:00:00Z")
    return Config(
        tuple(args.counts), args.totals, args.output, args.history_days, start,
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


class _Window:
    """Slices of sorted counts by window."""

    def __init__(self, counts: Counts, start: int, windows: int) -> None:
        edges = start + WINDOW_SECONDS * np.arange(windows + 1)
        self._counts = counts
        self._bounds = np.searchsorted(counts.window, edges)

    def rows(self, first: int, last: int) -> slice:
        return slice(int(self._bounds[first]), int(self._bounds[last]))

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        rows = self.rows(index, index + 1)
        return self._counts.keyword[rows].astype(np.int64), self._counts.mentions[rows]


def replay_counts(
    counts: Counts, totals: dict[int, float], detector: KeywordDetector, *, all_windows: bool = False
) -> Iterator[ScoredWindow]:
    """Score every window from the first day on, in order.

    Args:
        counts: the counts, sorted by window.
        totals: posts of the platform per window start; empty if unknown.
        detector: fits each day and scores each window.
        all_windows: also score keywords without mentions, from the window of their first mention on.
    """
    start = int(counts.window[0]) // DAY_SECONDS * DAY_SECONDS
    days = (int(counts.window[-1]) - start) // DAY_SECONDS + 1
    per_day = DAY_SECONDS // WINDOW_SECONDS
    index = _Window(counts, start, days * per_day)
    posts = np.array([totals.get(start + WINDOW_SECONDS * i, np.nan) for i in range(days * per_day)])
    hashes = keyword_hashes(counts.keywords)
    by_hash = np.argsort(hashes)
    names = np.array(counts.keywords, object)
    first_seen = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(first_seen, counts.keyword, counts.window)
    past: list[HourlyCounts] = []
    state, known = detector.new_state(), None
    last = (int(counts.window[-1]) - start) // WINDOW_SECONDS
    for day in range(days):
        baselines = _baselines(detector, past, posts[: day * per_day], hashes, by_hash, day)
        for w in range(day * per_day, min((day + 1) * per_day, last + 1)):
            keyword, mentions = index[w]
            moment = start + w * WINDOW_SECONDS
            if all_windows:
                wanted = np.flatnonzero(first_seen <= moment)
                dense = np.zeros(len(names), np.int64)
                dense[keyword] = mentions
                keyword, mentions = wanted, dense[wanted]
            window = WindowCounts(moment, float(posts[w]), tuple(names[keyword]), mentions)
            scores, state, known = detector.step(window, baselines, state, known)
            opened = state.opened_at[np.searchsorted(state.hashes, hashes[keyword])].astype(np.int64)
            yield ScoredWindow(moment, keyword, mentions, scores, opened)
        rows = index.rows(day * per_day, (day + 1) * per_day)
        past.append(_day(counts, rows, start + day * DAY_SECONDS))
        past = past[-detector.history_days :]


def _day(counts: Counts, rows: slice, start: int) -> HourlyCounts:
    keyword = counts.keyword[rows].astype(np.int64)
    return HourlyCounts.from_rows(
        keyword, counts.window[rows], counts.mentions[rows], len(counts.keywords), start, np.ones(24)
    )


def _baselines(
    detector: KeywordDetector,
    past: list[HourlyCounts],
    posts: npt.NDArray[np.float64],
    hashes: npt.NDArray[np.uint64],
    by_hash: npt.NDArray[np.int64],
    version: int,
) -> BaselineTable:
    if not past:
        return BaselineTable.empty(detector.name)
    usual, volume = hourly_volume(posts[-len(past) * 96 :], len(past) * 24)
    history = HourlyCounts.joined(past, volume)
    parts = detector.fit_hourly(history, by_hash)
    return detector.table(hashes[by_hash], parts, usual, version)


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
    return pa.RecordBatch.from_arrays(
        [
            keywords.take(pa.array(np.concatenate([s.keyword for s in scored]))),
            pa.array(starts, pa.string()).take(pa.array(np.repeat(np.arange(len(scored)), [len(s.keyword) for s in scored]))),
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


def run(config: Config) -> int:
    """Run a backtest; return the number of rows written."""
    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    counts = read_counts(config.counts, WINDOW_SECONDS, say)
    totals = read_totals(config.totals, WINDOW_SECONDS) if config.totals else {}
    detector = KeywordDetector(config.alerts_per_day, config.history_days)
    names = pa.array(counts.keywords, pa.string())
    written, outliers, pending = 0, 0, list[ScoredWindow]()
    config.output.parent.mkdir(parents=True, exist_ok=True)
    options = pacsv.WriteOptions(quoting_style="needed")
    partial = config.output.with_name(config.output.name + ".partial")
    compression = "gzip" if config.output.suffix == ".gz" else None
    with pa.output_stream(str(partial), compression=compression) as sink, pacsv.CSVWriter(sink, _SCHEMA, write_options=options) as out:

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


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    config = parse(argv)
    try:
        run(config)
    except CountsError as error:
        print(f"backtest: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("backtest: interrupted; no output written", file=sys.stderr)
        return 130
    return 0


__all__ = ["Config", "Known", "ScoredWindow", "ShardState", "main", "parse", "replay_counts", "run", "to_batch"]

if __name__ == "__main__":
    sys.exit(main())
