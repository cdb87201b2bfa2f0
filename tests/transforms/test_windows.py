"""Windows, panes and lateness, under a clock and a watermark that the test moves."""

from __future__ import annotations

from itertools import groupby

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import BeamAssertException, assert_that
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.windowed_value import PaneInfo, PaneInfoTiming

from transforms.counted_posts import CountedPosts
from transforms.mentions import CountMentions, MentionBatch, MentionCounter
from transforms.packing import PackedCoder
from transforms.posts import Item, Post
from transforms.windows import CountedWindow, MergePanes, Pane, WindowMentions

START = 1_600_000_200  # a multiple of 900
END = START + 900


def batch(post_id: int, text: str = "dance", start: int = START) -> TimestampedValue:
    """Make what ``CountMentions`` makes of one post: shard and batch, with the window's start as timestamp."""
    counter = MentionCounter(1)
    counter.add(CountedPosts.of([Post(Item(id=str(post_id), text=text), start)]))
    ((counted,),) = counter.drain()
    return TimestampedValue((0, counted), start)


def stream() -> TestStream:
    return TestStream(coder=beam.coders.PickleCoder()).advance_watermark_to(START)


def summary(element: tuple[int, CountedWindow]) -> tuple[int, str, int, dict[str, int]]:
    shard, window = element
    assert shard == window.shard
    counts = window.counts
    return (
        counts.window_start - START,
        window.pane.name,
        counts.posts,
        dict(zip(counts.words(), counts.mentions.tolist(), strict=True)),
    )


def check(events: TestStream, expected: list[tuple[int, str, int, dict[str, int]]], every: int = 60) -> None:
    """Run the events; the panes of each window must be these, in this order."""

    def same(actual: list[object]) -> None:
        by_window = [list(group) for _, group in groupby(sorted(actual, key=lambda row: row[0]), lambda row: row[0])]
        wanted = [list(group) for _, group in groupby(sorted(expected, key=lambda row: row[0]), lambda row: row[0])]
        if by_window != wanted:
            raise BeamAssertException(str(by_window))

    with TestPipeline(options=PipelineOptions(["--streaming"])) as pipeline:
        panes = (
            pipeline
            | events
            | beam.Map(lambda pair: pair).with_output_types(tuple[int, MentionBatch])
            | WindowMentions(every)
            | MergePanes()
            | beam.Map(summary)
            | beam.WindowInto(beam.window.GlobalWindows())
        )
        assert_that(panes, same)


def test_one_on_time_pane_when_the_watermark_passes_the_end():
    events = (
        stream().add_elements([batch(1), batch(2, "ramen")]).advance_watermark_to(END).advance_watermark_to_infinity()
    )
    check(events, [(0, "ON_TIME", 2, {"dance": 1, "ramen": 1})])


def test_early_panes_hold_all_that_came_so_far():
    events = (
        stream()
        .add_elements([batch(1)])
        .advance_processing_time(61)
        .add_elements([batch(2, "dance ramen")])
        .advance_processing_time(61)
        .add_elements([batch(3)])
        .advance_watermark_to(END)
        .advance_watermark_to_infinity()
    )
    check(
        events,
        [
            (0, "EARLY", 1, {"dance": 1}),
            (0, "EARLY", 2, {"dance": 2, "ramen": 1}),
            (0, "ON_TIME", 3, {"dance": 3, "ramen": 1}),
        ],
    )


def test_without_early_firing_each_late_batch_is_a_pane():
    events = (
        stream()
        .add_elements([batch(1)])
        .advance_processing_time(600)
        .advance_watermark_to(END + 60)
        .add_elements([batch(2)])
        .add_elements([batch(3)])
        .advance_watermark_to_infinity()
    )
    check(
        events,
        [(0, "ON_TIME", 1, {"dance": 1}), (0, "LATE", 2, {"dance": 2}), (0, "LATE", 3, {"dance": 3})],
        every=0,
    )


@pytest.mark.parametrize(("late_seconds", "taken"), [(890, True), (901, False)])
def test_a_late_batch_revises_its_window_until_the_lateness_is_over(late_seconds, taken):
    events = (
        stream()
        .add_elements([batch(1)])
        .advance_watermark_to(END + late_seconds)
        .add_elements([batch(2), batch(3, start=END + 900)])
        .advance_watermark_to_infinity()
    )
    revised = [(0, "LATE", 2, {"dance": 2})] if taken else []
    check(events, [(0, "ON_TIME", 1, {"dance": 1}), *revised, (1800, "ON_TIME", 1, {"dance": 1})], every=0)


def test_batches_out_of_order_reach_their_windows():
    events = (
        stream()
        .add_elements([batch(3, "b", END + 900), batch(1, "ramen")])
        .add_elements([batch(2, "dance", END)])
        .add_elements([batch(4, "ramen")])
        .advance_watermark_to(END + 1800)
        .advance_watermark_to_infinity()
    )
    check(
        events,
        [(0, "ON_TIME", 2, {"ramen": 2}), (900, "ON_TIME", 1, {"dance": 1}), (1800, "ON_TIME", 1, {})],
    )


def test_a_window_of_posts_without_keywords_still_tells_the_number_of_posts():
    events = stream().add_elements([batch(1, ""), batch(2, "")]).advance_watermark_to_infinity()
    check(events, [(0, "ON_TIME", 2, {})])


def test_an_empty_stream_has_no_panes():
    check(stream().advance_watermark_to_infinity(), [])


def test_bounded_input_has_one_pane_per_shard_and_window():
    posts = [Post(Item(str(i), text="dance ramen"), START + (i - 1) * 300) for i in range(1, 7)]  # three posts a window

    def same(actual: list[tuple[int, CountedWindow]]) -> None:
        assert sorted((w.counts.window_start - START, shard) for shard, w in actual) == [
            (start, shard) for start in (0, 900) for shard in range(4)
        ]
        assert {(w.pane, w.counts.posts) for _, w in actual} == {(Pane.ON_TIME, 3)}
        words = sorted(
            (word, n) for _, w in actual for word, n in zip(w.counts.words(), w.counts.mentions, strict=True)
        )
        assert words == [("dance", 3), ("dance", 3), ("ramen", 3), ("ramen", 3)]

    with TestPipeline() as pipeline:
        parts = [CountedPosts.of(posts[:2]), CountedPosts.of(posts[2:])]
        batches = pipeline | beam.Create(parts, reshuffle=False)
        assert_that(batches | CountMentions(4) | WindowMentions(0) | MergePanes(), same)


@pytest.mark.parametrize(
    ("timing", "pane"),
    [
        (PaneInfoTiming.EARLY, Pane.EARLY),
        (PaneInfoTiming.ON_TIME, Pane.ON_TIME),
        (PaneInfoTiming.LATE, Pane.LATE),
        (PaneInfoTiming.UNKNOWN, Pane.ON_TIME),
    ],
)
def test_stage_of_a_pane(timing, pane):
    assert Pane.of(PaneInfo(True, True, timing, 0, 0)) is pane
    assert Pane.EARLY < Pane.ON_TIME < Pane.LATE


def test_coder_round_trip():
    _, counted = batch(5, "dance 東京").value
    coder = PackedCoder(CountedWindow)
    again = coder.decode(coder.encode(CountedWindow(3, Pane.LATE, counted)))
    assert (again.shard, again.pane) == (3, Pane.LATE)
    assert again.counts.to_bytes() == counted.to_bytes()
