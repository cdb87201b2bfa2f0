"""What is announced of a pane, and retracted."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pyarrow as pa

from detection.baselines import BaselineTable, keyword_hashes
from detection.threshold import NoState, ThresholdDetector
from transforms.mentions import MentionBatch
from transforms.outliers import REMEMBERED_SECONDS, Announced, ScoredWindow, retract
from transforms.packing import PackedCoder
from transforms.scoring import score_pane
from transforms.windows import CountedWindow, Pane

START = 1_600_000_200
TABLE = BaselineTable.build(
    4,
    "threshold",
    keyword_hashes(["dance", "ramen"]),
    {"level": np.array([10, 10], np.float32), "dispersion": np.array([2, 2], np.float32)},
)


def window(pane: Pane, posts: int, start: int = START, **mentions: int) -> CountedWindow:
    n = len(mentions)
    ids = np.arange(1, n + 1, dtype=np.int64) + 2**60
    words, numbers = pa.array(mentions, pa.string()), np.array(list(mentions.values()), np.int64)
    batch = MentionBatch(start, posts, words, numbers, np.ones(n, np.uint8), ids, ids * 0)
    return CountedWindow(0, pane, batch)


def score(pane: CountedWindow, table: BaselineTable) -> ScoredWindow:
    return score_pane(pane, table, ThresholdDetector(), NoState(), take_in=False)[0]


def scored(pane: Pane, posts: int, start: int = START, **mentions: int) -> ScoredWindow:
    return score(window(pane, posts, start, **mentions), TABLE)


def told(result: ScoredWindow) -> dict[str, str]:
    return {outlier.keyword: outlier.status for outlier in result.outliers}


def test_outliers_of_a_pane():
    (outlier,) = scored(Pane.ON_TIME, 500, ramen=12, dance=20, other=99).outliers
    assert (outlier.keyword, outlier.mentions, outlier.expected, outlier.upper) == ("dance", 20, 10, 15)
    assert (outlier.severity, outlier.status, outlier.pane, outlier.posts) == ("medium", "confirmed", 1, 500)
    assert (outlier.baseline_version, outlier.detector, outlier.excess) == (4, "threshold", 10)
    assert outlier.sample_posts == [2**60 + 2]
    assert outlier.key == f"dance|{START}"


def test_status_follows_the_pane():
    statuses = [told(scored(pane, 1, dance=50))["dance"] for pane in Pane]
    assert statuses == ["provisional", "confirmed", "confirmed"]


def test_no_baseline_no_outlier():
    assert score(window(Pane.LATE, 9, dance=999), BaselineTable.empty("threshold")).outliers == []
    assert scored(Pane.LATE, 9).outliers == []


def test_json_has_iso_time_and_ids_as_text():
    line = json.loads(scored(Pane.ON_TIME, 500, dance=20).outliers[0].to_json())
    assert line["window_start"] == "2020-09-13T12:30:00Z"
    assert line["sample_posts"] == [str(2**60 + 1)]


def test_an_outlier_that_is_none_any_more_is_retracted_once():
    first, announced = retract(scored(Pane.EARLY, 100, dance=20, ramen=20), {})
    assert told(first) == {"dance": "provisional", "ramen": "provisional"}
    second, announced = retract(scored(Pane.ON_TIME, 200, dance=21, ramen=3), announced)
    assert told(second) == {"dance": "confirmed", "ramen": "retracted"}
    gone = second.outliers[1]
    assert (gone.severity, gone.pane, gone.posts, gone.mentions) == ("none", 1, 200, 20)
    third, announced = retract(scored(Pane.LATE, 201, dance=21, ramen=4), announced)
    assert told(third) == {"dance": "confirmed"}
    fourth, _ = retract(scored(Pane.LATE, 202, dance=1), announced)
    assert told(fourth) == {"dance": "retracted"}


def test_a_retracted_outlier_can_come_back():
    _, announced = retract(scored(Pane.EARLY, 100, dance=20), {})
    _, announced = retract(scored(Pane.ON_TIME, 200, dance=2), announced)
    result, _ = retract(scored(Pane.LATE, 300, dance=30), announced)
    assert told(result) == {"dance": "confirmed"}


def test_a_pane_older_than_what_was_told_retracts_nothing_and_is_not_remembered():
    _, announced = retract(scored(Pane.ON_TIME, 200, dance=20), {})
    for late_comer in (scored(Pane.EARLY, 300, ramen=20), scored(Pane.ON_TIME, 199)):
        result, after = retract(late_comer, announced)
        assert result is late_comer
        assert after is announced


def test_the_same_pane_again_changes_nothing():
    pane = scored(Pane.ON_TIME, 200, dance=20)
    _, announced = retract(pane, {})
    result, after = retract(pane, announced)
    assert result.outliers == pane.outliers
    assert after == announced


def test_windows_do_not_retract_each_other():
    _, announced = retract(scored(Pane.ON_TIME, 200, dance=20), {})
    result, announced = retract(scored(Pane.ON_TIME, 200, START + 900), announced)
    assert told(result) == {}
    assert announced.keys() == {START, START + 900}


def test_windows_of_long_ago_are_forgotten():
    _, announced = retract(scored(Pane.ON_TIME, 200, dance=20), {})
    _, at_limit = retract(scored(Pane.ON_TIME, 1, START + REMEMBERED_SECONDS), announced)
    assert START in at_limit
    _, beyond = retract(scored(Pane.ON_TIME, 1, START + REMEMBERED_SECONDS + 900), announced)
    assert beyond.keys() == {START + REMEMBERED_SECONDS + 900}


def test_an_open_window_far_ahead_makes_nothing_forgotten():
    """A job that catches up has a day of open windows, and their early panes come before the first of them closes."""
    _, announced = retract(scored(Pane.EARLY, 100, dance=20), {})
    _, announced = retract(scored(Pane.EARLY, 100, START + 4 * REMEMBERED_SECONDS, dance=20), announced)
    result, _ = retract(scored(Pane.ON_TIME, 200, dance=1), announced)
    assert told(result) == {"dance": "retracted"}


def test_what_was_announced_survives_the_state():
    _, announced = retract(scored(Pane.ON_TIME, 200, dance=20), {})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(announced), type=dict[int, Announced]) == announced


def test_coder_round_trip():
    one = scored(Pane.LATE, 500, dance=20, ramen=3)
    again = PackedCoder(ScoredWindow).decode(PackedCoder(ScoredWindow).encode(one))
    assert again.outliers == one.outliers
    assert again.age == one.age == (2, 500)
    assert again.window.counts.words() == ["dance", "ramen"]
