"""The detector's promises: pure, causal, monotone, blind to order, mergeable, finite."""

import itertools
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.baselines import BaselineTable, keyword_hashes
from detection.counts import CountHistory, WindowCounts
from detection.keyword_detector import KeywordDetector
from detection.online import IDLE_DAYS, PER_KEYWORD, ROW, ShardState

DAYS = 9
WORDS = tuple(f"w{i}" for i in range(12))
RATES = np.geomspace(0.02, 200, len(WORDS))


def history(seed: int = 0) -> CountHistory:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(RATES[:, None], (len(WORDS), DAYS * 96))
    keyword, window = np.nonzero(counts)
    return CountHistory(
        WORDS, keyword.astype(np.int32), window * 900, counts[keyword, window], 0, DAYS * 86_400,
        np.full(DAYS * 96, 1000.0),
    )  # fmt: skip


DETECTOR = KeywordDetector()
TABLE = DETECTOR.fit(history(), 1)


def window(index: int, mentions: dict[str, int], posts: float = 1000.0) -> WindowCounts:
    return WindowCounts(
        DAYS * 86_400 + index * 900, posts, tuple(mentions), np.array(list(mentions.values()), np.int64)
    )


def after(counts: WindowCounts, state: ShardState) -> ShardState:
    return DETECTOR.step(counts, TABLE, state)[1]


def warm(windows: int = 6, words: tuple[str, ...] = WORDS) -> ShardState:
    rng = np.random.default_rng(1)
    state = DETECTOR.new_state()
    for i in range(windows):
        counts = dict(zip(WORDS, rng.poisson(RATES).tolist(), strict=True))
        state = after(window(i, {k: n for k, n in counts.items() if n and k in words}), state)
    return state


STATE = warm()


def same(a: ShardState, b: ShardState) -> bool:
    names = ("window_start", "version", "hashes", *PER_KEYWORD)
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def test_a_surge_is_an_outlier_and_the_usual_is_none():
    scores = DETECTOR.score(window(6, {"w6": 60, "w7": 5, "w11": 190}), TABLE, STATE)
    assert scores.is_outlier.tolist() == [True, False, False]
    assert scores.expected[2] == pytest.approx(200, rel=0.15)
    assert scores.lower[2] < 190 < scores.upper[2]


def test_eight_mentions_of_a_new_keyword_are_news_and_two_are_not():
    scores = DETECTOR.score(window(6, {"never seen": 8, "nor this": 2}), TABLE, STATE)
    assert scores.is_outlier.tolist() == [True, False]


def test_a_new_keyword_that_comes_up_over_an_hour_is_news_until_it_is_over():
    state, told = STATE, []
    for i, mentions in enumerate((4, 9, 14, 18, 2, 1)):
        scores, state = DETECTOR.step(window(6 + i, {"rising": mentions, "w11": 200}), TABLE, state)
        told.append(bool(scores.is_outlier[0]))
    assert told[0] is False
    assert told[2] is True
    assert told[4:] == [False, False]


def test_a_new_keyword_is_not_judged_by_what_was_before_the_last_hour():
    state = STATE
    for i in range(12):
        scores, state = DETECTOR.step(window(6 + i, {"few": 2, "w11": 200}), TABLE, state)
        assert not scores.is_outlier.any()


@pytest.mark.parametrize("partial", [False, True])
def test_an_old_keyword_without_a_baseline_is_no_news_where_a_window_is_missing(partial):
    state = STATE
    for i in range(20):
        state = after(window(6 + i, {"young but known": 12, "w11": 200}), state)
    for i in (27, 28, 29):  # 26 had no posts, or has not closed yet
        now = window(i, {"young but known": 12, "w11": 200})
        assert not DETECTOR.score(now, TABLE, state, partial=partial).is_outlier.any()
        state = after(now, state)


def test_a_new_keyword_is_news_where_a_window_is_missing():
    now = window(8, {"never seen": 12, "w11": 200})
    assert DETECTOR.score(now, TABLE, STATE).is_outlier.tolist() == [True, False]


def test_without_a_baseline_nothing_is_news():
    empty = BaselineTable.empty(DETECTOR.name)
    scores = DETECTOR.score(window(0, {"a": 500}), empty, DETECTOR.new_state())
    assert not scores.is_outlier.any()


def test_scoring_is_pure():
    before = STATE.to_bytes()
    DETECTOR.score(window(6, {"w6": 60, "new": 9}), TABLE, STATE)
    assert STATE.to_bytes() == before


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=6), st.sampled_from([*WORDS, "unseen"]))
@settings(max_examples=40, deadline=None)
def test_more_mentions_never_score_lower(counts, word):
    scores = [float(DETECTOR.score(window(6, {word: n}), TABLE, STATE).score[0]) for n in sorted(counts)]
    assert all(b >= a - 0.02 - 1e-3 * abs(a) for a, b in itertools.pairwise(scores))


@given(st.dictionaries(st.sampled_from([*WORDS, "x", "y"]), st.sampled_from([0, 1, 7, 10**6]), min_size=1))
@settings(max_examples=40, deadline=None)
def test_every_number_is_finite_at_the_extremes(counts):
    for posts in (1000.0, float("nan"), 0.0, 1e9):
        scores, state = DETECTOR.step(window(6, counts, posts), TABLE, STATE)
        for field in fields(scores):
            assert np.isfinite(getattr(scores, field.name)).all(), field.name
        assert np.isfinite(state.ratio_mentions / state.ratio_exposure).all()
        assert ((scores.p_value >= 0) & (scores.p_value <= 1)).all()


@given(st.permutations(WORDS))
@settings(max_examples=20, deadline=None)
def test_the_order_of_keywords_does_not_matter(order):
    counts = {word: 3 + i for i, word in enumerate(WORDS)}
    scores, state = DETECTOR.step(window(6, {w: counts[w] for w in order}), TABLE, STATE)
    expected, expected_state = DETECTOR.step(window(6, counts), TABLE, STATE)
    place = [WORDS.index(w) for w in order]
    np.testing.assert_array_equal(scores.score, expected.score[place])
    assert same(state, expected_state)


@given(st.sets(st.sampled_from(WORDS)))
@settings(max_examples=20, deadline=None)
def test_shards_are_independent_and_merge(part):
    rest = tuple(w for w in WORDS if w not in part)
    merged = warm(6, tuple(part)).merged(warm(6, rest))
    assert same(merged, STATE)
    inside = np.flatnonzero(np.isin(STATE.hashes, keyword_hashes(part)))
    outside = np.setdiff1d(np.arange(len(STATE)), inside)
    assert same(STATE.take(inside).merged(STATE.take(outside)), STATE)


def test_state_survives_bytes_and_is_small():
    assert same(ShardState.from_bytes(STATE.to_bytes()), STATE)
    many = ShardState.empty().with_keywords(np.arange(10_000, dtype=np.uint64))
    columns = sum(v.nbytes for v in TABLE.columns.values()) / len(TABLE) + 8
    assert 3 * len(many.to_bytes()) / len(many) + columns < 200  # the stream keeps three states
    assert len(many.to_bytes()) == pytest.approx(len(many) * ROW.itemsize, rel=0.01)


def test_other_bytes_are_no_state():
    for data in (b"", b"PK\x03\x04", STATE.to_bytes()[:-1]):
        with pytest.raises(ValueError, match="state"):
            ShardState.from_bytes(data)


def dropped(state: ShardState, index: int, mentions: dict[str, int]) -> tuple[list[str], ShardState]:
    counts = window(index, mentions)
    state = after(counts, state)
    silent, scores = DETECTOR.drops(counts, TABLE, state)
    assert scores.is_outlier.all()
    assert silent.mentions.tolist() == [mentions.get(keyword, 0) for keyword in silent.keywords]
    np.testing.assert_array_equal(scores.excess, silent.mentions - scores.expected)
    return sorted(silent.keywords), state


def test_a_keyword_that_falls_silent_is_told_until_it_is_back():
    usual = dict(zip(WORDS, np.round(RATES).astype(int).tolist(), strict=True))
    told, state = dropped(STATE, 6, usual)
    assert told == []
    quiet = usual | {"w11": 3, "w10": 0, "w5": 0}  # w5 has one mention a window: its silence says nothing
    for index in range(7, 10):
        told, state = dropped(state, index, quiet)
    assert told == ["w10", "w11"]
    assert dropped(state, 10, usual)[0] == []


def test_the_end_of_a_wave_is_no_drop():
    usual = dict(zip(WORDS, np.round(RATES).astype(int).tolist(), strict=True))
    state = STATE
    for index in range(6, 30):
        state = after(window(index, usual | {"w10": 4 * usual["w10"]}), state)
    assert all(not dropped(state, index, usual)[0] for index in range(30, 33))


def test_without_baselines_nothing_can_fall_silent():
    counts, none = window(0, {"w11": 200}), BaselineTable.empty("return_period")
    _, state = DETECTOR.step(counts, none, DETECTOR.new_state())
    assert DETECTOR.drops(counts, none, state)[0].keywords == ()


def test_silence_lowers_the_online_level():
    state = STATE
    for i in range(6, 10):
        state = after(window(i, {"w0": 1}), state)
    now = DETECTOR.score(window(10, {"w11": 100}), TABLE, state).expected[0]
    assert now < DETECTOR.score(window(10, {"w11": 100}), TABLE, STATE).expected[0]


def test_an_early_pane_expects_a_whole_window():
    part = DETECTOR.score(window(6, {"w8": 10}, posts=100.0), TABLE, STATE, partial=True)
    whole = DETECTOR.score(window(6, {"w8": 10}, posts=1000.0), TABLE, STATE)
    assert part.expected[0] >= whole.expected[0] * 0.99


def test_a_step_scores_as_score_does():
    counts = window(6, {"w6": 60, "w9": 3, "unseen": 9})
    stepped, alone = DETECTOR.step(counts, TABLE, STATE)[0], DETECTOR.score(counts, TABLE, STATE)
    for field in fields(stepped):
        np.testing.assert_array_equal(getattr(stepped, field.name), getattr(alone, field.name))


def test_a_keyword_that_nobody_mentions_leaves_the_state_and_comes_back_as_usual():
    state = after(window(6, {"fleeting": 9}), STATE)
    for day in range(IDLE_DAYS + 2):
        state = after(window(7 + 96 * day, {"w11": 200}), state)
    assert set(state.hashes.tolist()) == set(keyword_hashes(["w11"]).tolist())
    again, fresh = (DETECTOR.score(window(500, {"w6": 30, "fleeting": 9}), TABLE, s) for s in (state, warm(0)))
    np.testing.assert_array_equal(again.score, fresh.score)


def test_a_window_that_is_left_out_is_unknown_not_silent():
    later = DETECTOR.score(window(60, {"w8": 12}), TABLE, STATE)
    next_one = DETECTOR.score(window(6, {"w8": 12}), TABLE, STATE)
    assert later.expected[0] == pytest.approx(next_one.expected[0], rel=0.3)
    state = after(window(60, {"w8": 12}), STATE)
    assert not state.counts[1:].any()


def test_part_of_an_hour_is_judged_as_uncertain_as_a_window():
    """The first window after a start has no hour: it must not be taken for one."""
    table = DETECTOR.fit(history(), 1)
    table.columns["hour_dispersion"][:] = 1e-6
    first = DETECTOR.score(window(0, {"w11": 260}), table, DETECTOR.new_state())
    table.columns["hour_dispersion"][:] = table.columns["dispersion"]
    assert first.score[0] == DETECTOR.score(window(0, {"w11": 260}), table, DETECTOR.new_state()).score[0]


@pytest.mark.parametrize("strict", [1.0, 10.0])
def test_baselines_serve_any_budget(strict):
    rng = np.random.default_rng(3)
    counts = rng.negative_binomial(0.5, 0.1, (300, DAYS * 96))
    keyword, at = np.nonzero(counts)
    names = tuple(f"k{i}" for i in range(300))
    past = CountHistory(
        names, keyword.astype(np.int32), at * 900, counts[keyword, at], 0, DAYS * 86_400, np.full(DAYS * 96, 1000.0)
    )
    table = DETECTOR.fit(past, 1)
    now = WindowCounts(DAYS * 86_400, 1000.0, names, rng.negative_binomial(0.5, 0.02, 300))
    few, many = (KeywordDetector(budget).score(now, table, warm(0)) for budget in (strict, 100 * strict))
    np.testing.assert_array_equal(few.score, many.score)
    assert 0 < few.is_outlier.sum() < many.is_outlier.sum()


def test_the_tide_is_told_from_the_keywords_own_wave():
    calm = DETECTOR.score(window(6, {"w11": 400}, posts=1000.0), TABLE, STATE)
    tide = DETECTOR.score(window(6, {"w11": 400}, posts=2000.0), TABLE, STATE)
    assert calm.is_outlier[0]
    assert not tide.is_outlier[0]
    assert tide.tide[0] > 150 > calm.tide[0]


@pytest.mark.parametrize("every", [1, 2, 4])
def test_a_habitual_jumper_stops_alarming_and_a_steady_keyword_alarms(every):
    rng, days = np.random.default_rng(5), 28
    counts = rng.poisson(20.0, (2, days * 96))
    counts[0, 40 :: 96 * every] *= 5
    keyword, at = np.nonzero(counts)
    past = CountHistory(
        ("jumper", "steady"), keyword.astype(np.int32), at * 900, counts[keyword, at], 0, days * 86_400,
        np.full(days * 96, np.nan),
    )  # fmt: skip
    table = DETECTOR.fit(past, 1)
    now = WindowCounts(days * 86_400 + 40 * 900, float("nan"), ("jumper", "steady"), np.array([100, 100]))
    assert DETECTOR.score(now, table, DETECTOR.new_state()).is_outlier.tolist() == [False, True]


def test_a_table_survives_bytes():
    again = BaselineTable.from_bytes(TABLE.to_bytes())
    a, b = (DETECTOR.score(window(6, {"w6": 60, "w9": 70}), t, STATE) for t in (TABLE, again))
    np.testing.assert_array_equal(a.score, b.score)
