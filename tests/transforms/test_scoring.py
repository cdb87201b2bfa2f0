"""Scoring in the stream: which state a pane is scored with, what is taken in, and that a backtest says the same."""

from __future__ import annotations

from functools import partial

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.test_stream import TestStream as Stream
from apache_beam.testing.util import assert_that

from beam_pipelines.backtest import KeywordEngine, Past
from beam_pipelines.counts_files import Counts
from detection.baselines import BaselineTable, keyword_hashes
from detection.counts import WINDOW_SECONDS, WINDOWS_PER_DAY, WindowCounts
from detection.detector import Detector
from detection.keyword_detector import KeywordDetector
from detection.threshold import ThresholdDetector
from transforms.baselines import FixedBaselines
from transforms.mentions import MentionBatch
from transforms.outliers import Announced, ScoredWindow
from transforms.scoring import KEPT, NOTHING, Ledger, Place, ScoreWindows, place, score_in_shard
from transforms.windows import CountedWindow, MergePanes, Pane, WindowMentions

W = WINDOW_SECONDS
DAY = 7
SHARDS = 2
START = 1_614_556_800  # a Monday
WORDS = tuple(f"w{i}" for i in range(40))
NEW = "nobody knew this"


def surging_counts() -> tuple[Counts, dict[int, float]]:
    """A week and a day; on the last day, surges of several kinds, and a keyword that nobody used before."""
    rng = np.random.default_rng(2)
    windows = (DAY + 1) * WINDOWS_PER_DAY
    tide = 1 + 0.5 * np.sin(2 * np.pi * np.arange(windows) / WINDOWS_PER_DAY)
    mean = np.geomspace(0.05, 60, len(WORDS))[:, None] * tide
    today = DAY * WINDOWS_PER_DAY
    for word, at, length, factor in ((20, 10, 1, 9.0), (30, 30, 12, 4.0), (36, 50, 20, 2.5), (10, 70, 3, 60.0)):
        mean[word, today + at : today + at + length] *= factor
    counts = np.vstack([rng.poisson(mean), np.zeros((1, windows), np.int64)])
    counts[-1, today + 40 : today + 60] = rng.poisson(12, 20)
    window, keyword = np.nonzero(counts.T)
    table = Counts(
        (*WORDS, NEW), keyword.astype(np.int32), START + W * window.astype(np.int64), counts[keyword, window]
    )
    totals = {START + W * i: float(v) for i, v in enumerate(np.round(1000 * tide))}
    return table, totals


COUNTS, TOTALS = surging_counts()


def batch(window_start: int, posts: int, mentions: dict[str, int]) -> MentionBatch:
    n = len(mentions)
    ids = np.arange(1, n + 1, dtype=np.int64)
    return MentionBatch(
        window_start,
        posts,
        pa.array(mentions, pa.string()),
        np.array(list(mentions.values()), np.int64),
        np.ones(n, np.uint8),
        ids,
        ids,
    )


def batches_of(past: Past, index: int) -> list[tuple[int, MentionBatch]]:
    rows, start = past.window(index), START + W * index
    names = [COUNTS.keywords[k] for k in COUNTS.keyword[rows]]
    mentions: list[dict[str, int]] = [{} for _ in range(SHARDS)]
    for name, count, hashed in zip(names, COUNTS.mentions[rows].tolist(), keyword_hashes(names).tolist(), strict=True):
        mentions[hashed % SHARDS][name] = count
    return [(shard, batch(start, int(TOTALS[start]), part)) for shard, part in enumerate(mentions)]


def said(windows: list[ScoredWindow]) -> dict[tuple[str, int], tuple[float, ...]]:
    return {
        (o.keyword, o.window_start): (o.mentions, o.expected, o.lower, o.upper, o.p_value, o.score, o.tide, o.excess)
        for window in windows
        for o in window.outliers
        if o.status == "confirmed"
    }


def test_stream_and_backtest_give_the_same_scores() -> None:
    """The last day through windows, early panes and shards, and through the backtest, by the same baselines."""
    past, detector = Past(COUNTS, TOTALS), KeywordDetector()
    engine = KeywordEngine(detector, past)
    for day in range(DAY + 1):
        engine.begin_day(day)
    expected = {}
    for index in range(DAY * WINDOWS_PER_DAY, (DAY + 1) * WINDOWS_PER_DAY):
        rows, start = past.window(index), START + W * index
        names = tuple(COUNTS.keywords[k] for k in COUNTS.keyword[rows])
        scores = engine.score(WindowCounts(start, TOTALS[start], names, COUNTS.mentions[rows]))
        for i in np.flatnonzero(scores.is_outlier):
            fields = (
                scores.expected,
                scores.lower,
                scores.upper,
                scores.p_value,
                scores.score,
                scores.tide,
                scores.excess,
            )
            expected[names[i], start] = (int(COUNTS.mentions[rows][i]), *(float(field[i]) for field in fields))
    assert {keyword for keyword, _ in expected} >= {"w20", "w30", "w36", "w10", NEW}

    posts = Stream(coder=beam.coders.PickleCoder()).advance_watermark_to(START + W * DAY * WINDOWS_PER_DAY)
    for index in range(DAY * WINDOWS_PER_DAY, (DAY + 1) * WINDOWS_PER_DAY):
        start = START + W * index
        for shard in batches_of(past, index):
            posts = posts.add_elements([beam.window.TimestampedValue(shard, start)])
        posts = posts.advance_processing_time(60)  # an early pane of all that there is
        posts = posts.advance_watermark_to(start + W)
    table = detector.fit(past.history(0, DAY), 1)

    def same(actual: list[ScoredWindow]) -> None:
        found = said(actual)
        assert found.keys() == expected.keys()
        for key, values in expected.items():
            assert found[key] == pytest.approx(values, rel=1e-6, abs=1e-9), key
        assert sum(window.window.pane is Pane.EARLY for window in actual) > WINDOWS_PER_DAY

    with Pipeline(options=PipelineOptions(["--streaming"])) as pipeline:
        batches = (
            pipeline
            | posts.advance_watermark_to_infinity()
            | beam.Map(lambda pair: pair).with_output_types(tuple[int, MentionBatch])
        )
        windows = batches | WindowMentions(early_firing_seconds=30) | MergePanes()
        assert_that(windows | ScoreWindows(detector, partial(FixedBaselines, table)), same)


HISTORY = Past(COUNTS, TOTALS).history(0, DAY)
TABLE = KeywordDetector().fit(HISTORY, 1)
TODAY = START + DAY * WINDOWS_PER_DAY * W
CALM = {word: int(n) for word, n in zip(WORDS, np.geomspace(0.05, 60, len(WORDS)), strict=True) if n >= 1}


def pane(stage: Pane, index: int, posts: int = 1000, **mentions: int) -> CountedWindow:
    return CountedWindow(0, stage, batch(TODAY + index * W, posts, {**CALM, **mentions}))


class MemoryCell:
    """A cell of state as the runner's."""

    value: bytes | None = None

    def read(self) -> bytes | None:
        return self.value

    def write(self, value: bytes) -> None:
        self.value = value


def run(panes: list[CountedWindow], detector: Detector, table: BaselineTable) -> list[ScoredWindow]:
    """Score panes of one shard one after another."""
    ledger, states = MemoryCell(), [MemoryCell() for _ in range(KEPT)]
    return [score_in_shard(one, table, detector, ledger, states)[0] for one in panes]


def last_score(panes: list[CountedWindow]) -> float:
    return run(panes, KeywordDetector(), TABLE)[-1].outliers[0].score


def on_time(*indices: int, **mentions: int) -> list[CountedWindow]:
    return [pane(Pane.ON_TIME, i, **mentions) for i in indices]


PROBE = pane(Pane.ON_TIME, 4, w30=90)


def test_a_pane_that_comes_twice_is_taken_in_once() -> None:
    high = on_time(3, w30=30)
    once = last_score([*on_time(1, 2), *high, PROBE])
    assert last_score([*on_time(1, 2), *high, *high, *high, PROBE]) == once
    assert last_score([*on_time(1, 2, 3), PROBE]) != once


def test_a_late_pane_of_the_newest_window_is_learnt_from() -> None:
    late = last_score([*on_time(1, 2, 3), pane(Pane.LATE, 3, w30=30), PROBE])
    assert late == last_score([*on_time(1, 2), *on_time(3, w30=30), PROBE])


def test_an_early_pane_teaches_nothing() -> None:
    early = [pane(Pane.EARLY, 4, 100 * i, w30=40 + i) for i in (1, 2)]
    assert last_score([*on_time(1, 2, 3), *early, PROBE]) == last_score([*on_time(1, 2, 3), PROBE])


def test_a_window_that_comes_after_its_successor_is_scored_by_what_was_before_it() -> None:
    disordered = run([*on_time(1, 2), *on_time(5), PROBE, *on_time(6)], KeywordDetector(), TABLE)
    ordered = run([*on_time(1, 2), PROBE], KeywordDetector(), TABLE)
    assert disordered[3].outliers == ordered[-1].outliers != []


def test_what_was_told_stands_when_nothing_older_than_the_window_is_left() -> None:
    """A keyword that was new in window 2 is new no more to the states after windows 2 and later."""
    first = pane(Pane.ON_TIME, 2, unheard=12)
    late = pane(Pane.LATE, 2, 1002, unheard=13, w30=95)
    told = run([*on_time(1), first, *on_time(3, 4, 5), late], KeywordDetector(), TABLE)
    (before,), (after,) = told[1].outliers, told[-1].outliers
    assert (after.keyword, after.mentions, after.status, after.posts) == ("unheard", 13, "confirmed", 1002)
    assert (after.score, after.expected, after.excess) == (before.score, before.expected, 13 - before.expected)


def test_a_late_pane_of_the_window_before_the_newest_is_scored_as_if_in_time() -> None:
    late = run([*on_time(1, 2, 3, 4), pane(Pane.LATE, 3, w30=95)], KeywordDetector(), TABLE)[-1]
    in_time = run([*on_time(1, 2), *on_time(3, w30=95)], KeywordDetector(), TABLE)[-1]
    assert [o.score for o in late.outliers] == [o.score for o in in_time.outliers] != []


def test_a_late_pane_of_the_first_window_is_scored_when_its_successor_has_closed() -> None:
    late = run([*on_time(1, 2), pane(Pane.LATE, 1, w30=95)], KeywordDetector(), TABLE)[-1]
    in_time = run(on_time(1, w30=95), KeywordDetector(), TABLE)[-1]
    assert [o.score for o in late.outliers] == [o.score for o in in_time.outliers] != []


def test_a_surge_is_provisional_then_confirmed() -> None:
    told = run(
        [*on_time(1, 2, 3), pane(Pane.EARLY, 4, 500, w30=90), pane(Pane.ON_TIME, 4, 1000, w30=95)],
        KeywordDetector(),
        TABLE,
    )
    assert [[(o.keyword, o.status) for o in one.outliers] for one in told[-2:]] == [
        [("w30", "provisional")],
        [("w30", "confirmed")],
    ]


def silent(stage: Pane, index: int, posts: int = 1000) -> CountedWindow:
    """A pane in which the most usual keyword, and no other, is missing."""
    calm = {word: mentions for word, mentions in CALM.items() if word != WORDS[-1]}
    return CountedWindow(0, stage, batch(TODAY + index * W, posts, calm))


def test_a_keyword_that_falls_silent_is_told_of_closed_windows_alone() -> None:
    panes = [*on_time(1, 2, 3), silent(Pane.ON_TIME, 4), silent(Pane.ON_TIME, 5), silent(Pane.EARLY, 6)]
    told = run([*panes, silent(Pane.ON_TIME, 6)], KeywordDetector(), TABLE)
    assert told[-2].outliers == []
    (drop,) = told[-1].outliers
    assert (drop.keyword, drop.mentions, drop.status, drop.sample_posts) == (WORDS[-1], 0, "confirmed", [])
    assert drop.is_drop
    assert drop.excess == -drop.expected < -20
    assert drop.p_value < 1e-4


def test_late_posts_take_a_drop_back_while_its_window_is_the_newest() -> None:
    quiet = [*on_time(1, 2, 3), *(silent(Pane.ON_TIME, index) for index in (4, 5, 6))]
    late = pane(Pane.LATE, 6, 1001)
    (drop,) = run([*quiet, late], KeywordDetector(), TABLE)[-1].outliers
    assert (drop.keyword, drop.status, drop.posts) == (WORDS[-1], "retracted", 1001)
    (stands,) = run([*quiet, silent(Pane.ON_TIME, 7), late], KeywordDetector(), TABLE)[-1].outliers
    assert (stands.keyword, stands.status, stands.mentions) == (WORDS[-1], "confirmed", CALM[WORDS[-1]])


def test_in_a_stream_each_shard_remembers_for_itself() -> None:
    table = ThresholdDetector().fit(HISTORY, 4)
    surge = pane(Pane.EARLY, 1, 100, w30=900)
    other = CountedWindow(1, Pane.ON_TIME, batch(TODAY + W, 200, {"w20": 1}))
    stream = Stream(coder=beam.coders.PickleCoder()).advance_watermark_to(TODAY)
    for one in (surge, other, pane(Pane.ON_TIME, 1, 200, w30=1)):
        stream = stream.add_elements([(one.shard, one)])

    def same(actual: list[list[tuple[str, str]]]) -> None:
        assert sorted(actual) == [[], [("w30", "provisional")], [("w30", "retracted")]]

    with Pipeline(options=PipelineOptions(["--streaming"])) as pipeline:
        keyed = (
            pipeline
            | stream.advance_watermark_to_infinity()
            | beam.Map(lambda pair: pair).with_output_types(tuple[int, CountedWindow])
        )
        scored = keyed | ScoreWindows(ThresholdDetector(), partial(FixedBaselines, table))
        assert_that(scored | beam.Map(lambda one: [(o.keyword, o.status) for o in one.outliers]), same)


N = NOTHING


@pytest.mark.parametrize(
    ("ends", "window", "stage", "expected"),
    [
        ((N, N, N), 5, Pane.EARLY, Place(None, None)),  # a new state, and nothing is taken in
        ((N, N, N), 5, Pane.ON_TIME, Place(None, 0)),
        ((5, N, N), 5, Pane.LATE, Place(None, 0)),  # the first window again
        ((5, N, N), 6, Pane.ON_TIME, Place(0, 1)),
        ((5, 6, N), 6, Pane.LATE, Place(0, 1)),  # the newest again
        ((5, 6, N), 7, Pane.EARLY, Place(1, None)),
        ((5, 6, N), 7, Pane.ON_TIME, Place(1, 2)),
        ((5, 6, 7), 8, Pane.ON_TIME, Place(2, 0)),
        ((8, 6, 7), 12, Pane.LATE, Place(0, 1)),  # a gap
        ((8, 6, 7), 7, Pane.LATE, Place(1, None)),  # the one before the newest
        ((8, 5, 6), 7, Pane.ON_TIME, Place(2, None)),  # after its successor
        ((8, 6, 7), 6, Pane.LATE, Place(None, None, judged=False)),
        ((8, 6, 7), 3, Pane.LATE, Place(None, None, judged=False)),
        ((5, 6, 7), 3, Pane.ON_TIME, Place(None, None, judged=False)),
        ((5, 6, N), 5, Pane.LATE, Place(None, None)),  # the first window of all: what was before it is a new state
        ((5, N, N), 3, Pane.ON_TIME, Place(None, None)),
    ],
)
def test_where_a_pane_belongs(ends: tuple[int, ...], window: int, stage: Pane, expected: Place) -> None:
    assert place(ends, window, stage) == expected


def test_a_ledger_survives_the_state() -> None:
    outliers = run([pane(Pane.ON_TIME, 1, w30=90)], KeywordDetector(), TABLE)[0].outliers
    ledger = Ledger((900, 1800, NOTHING), {900: Announced((1, 1000), outliers)})
    assert Ledger.from_bytes(ledger.to_bytes()) == ledger
    assert Ledger.from_bytes(None) == Ledger((NOTHING,) * KEPT, {})
