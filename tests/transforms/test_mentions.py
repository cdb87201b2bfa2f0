"""Counting, merging, splitting and packing of mentions."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detection.baselines import keyword_hash
from transforms import lexicon, mentions
from transforms.counted_posts import CountedPosts
from transforms.mentions import (
    MAX_SAMPLES,
    MentionBatch,
    MentionCounter,
    merge_mentions,
)
from transforms.packing import PackedCoder
from transforms.posts import Item, Post
from transforms.text import MAX_TEXT, tokenise

WORDS = ("dance", "ramen", "東京", "#the", "😂", "зима")
START = 1_600_000_200  # a multiple of 900
TEXTS = [" ".join(word for i, word in enumerate(WORDS) if n >> i & 1) for n in range(64)]
CAP = 2**32 - 1


def make(post_id: int, engagement: int | None = 0, time_stamp: float = START, text: str | None = None) -> Post:
    """Make a post; its text follows from its id, so that a post which came twice has one text."""
    text = TEXTS[post_id * 37 % 64] if text is None else text
    return Post(Item(id=str(post_id), text=text, digg_count=engagement), time_stamp)


POSTS = st.lists(
    st.builds(make, st.integers(1, 40), st.integers(-5, 6) | st.just(2**40) | st.none(), st.just(START)), max_size=40
)
ANYTIME = st.lists(
    st.builds(
        make, st.integers(1, 40), st.integers(0, 6), st.integers(START, START + 2699) | st.floats(START, START + 2699)
    )
)


def count_in_shards(posts: list[Post], shards: int) -> list[MentionBatch]:
    counter = MentionCounter(shards)
    counter.add(CountedPosts.of(posts))
    (batches,) = counter.drain()
    return batches


def count(posts: list[Post]) -> MentionBatch:
    (batch,) = count_in_shards(posts, 1)
    return batch


def content(batch: MentionBatch) -> tuple[object, ...]:
    """Return what a batch says, whatever the order of its keywords."""
    engagement = np.split(batch.sample_engagement, np.cumsum(batch.sample_counts)[:-1]) if batch.words() else []
    assert len(set(batch.words())) == len(batch.words())
    assert int(batch.sample_counts.sum()) == len(batch.sample_ids) == len(batch.sample_engagement)
    rows = {
        word: (mentions, ids, most.tolist())
        for word, mentions, ids, most in zip(
            batch.words(), batch.mentions.tolist(), batch.samples(), engagement, strict=True
        )
    }
    return batch.window_start, batch.posts, rows


def naive(posts: list[Post]) -> tuple[object, ...]:
    mentions = Counter(word for post in posts for word in tokenise(post.item.text))
    most: dict[str, dict[int, int]] = {word: {} for word in mentions}
    for post in posts:
        for word in tokenise(post.item.text):
            engagement = min(max(post.engagement, 0), CAP)
            most[word][post.post_id] = max(most[word].get(post.post_id, 0), engagement)
    rows = {}
    for word, number in mentions.items():
        best = sorted(most[word].items(), key=lambda item: (-item[1], item[0]))[:MAX_SAMPLES]
        rows[word] = (number, [i for i, _ in best], [e for _, e in best])
    return posts[0].time_stamp // 900 * 900, len(posts), rows


@given(POSTS.filter(bool))
def test_counting_equals_a_naive_count(posts):
    assert content(count(posts)) == naive(posts)


WHITE_SPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
PARTS = st.sampled_from(("Dance", "dance,", "東京都", "#the", "the", "@me", "http://x", "É", "é1", "9", *WHITE_SPACE))


@given(st.lists(PARTS, max_size=30).map("".join) | st.text(st.characters(exclude_categories=["Cs"])))
@example("http://x\x1cDance")
def test_counting_finds_what_a_text_is_tokenised_to(text):
    assert content(count([make(1, text=text)])) == naive([make(1, text=text)])


def test_a_text_is_looked_at_up_to_the_same_character():
    text = "é" * (MAX_TEXT - 6) + " dance ramen"
    assert count([make(1, text=text)]).words() == [*tokenise(text)] == ["dance"]


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_in_how_many_goes_texts_are_looked_at_leaves_no_trace(monkeypatch, at_once):
    monkeypatch.setattr(mentions, "_TEXTS_AT_ONCE", at_once)
    posts = [make(i, text=f"{WORDS[i % 6]} {WORDS[i % 5]}-{WORDS[i % 4]}") for i in range(1, 9)]
    counter = MentionCounter(1)
    for i in range(0, 8, 2):
        counter.add(CountedPosts.of(posts[i : i + 2]))
    ((batch,),) = counter.drain()
    assert content(batch) == naive(posts)


@given(ANYTIME)
def test_posts_are_counted_in_the_window_of_their_time(posts):
    counter = MentionCounter(1)
    counter.add(CountedPosts.of(posts))
    batches = [batch for (batch,) in counter.drain()]
    assert list(counter.drain()) == []
    starts = {int(post.time_stamp // 900) * 900 for post in posts}
    assert sorted(batch.window_start for batch in batches) == sorted(starts)
    for batch in batches:
        assert content(batch) == naive([p for p in posts if int(p.time_stamp // 900) * 900 == batch.window_start])


@given(POSTS.filter(bool), st.data())
def test_how_posts_are_cut_into_bundles_leaves_no_trace(posts, data):
    shuffled = data.draw(st.permutations(posts))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(posts)), max_size=6)) | {0, len(posts)})
    bundles = [count(shuffled[a:b]) for a, b in pairwise(cuts)]
    assert content(merge_mentions(bundles)) == naive(posts)
    assert content(reduce(lambda a, b: merge_mentions([a, b]), bundles)) == naive(posts)


@given(POSTS.filter(bool), POSTS.filter(bool), POSTS.filter(bool))
def test_merging_is_commutative_and_associative(a, b, c):
    x, y, z = count(a), count(b), count(c)
    assert content(merge_mentions([x, y])) == content(merge_mentions([y, x]))
    left = merge_mentions([merge_mentions([x, y]), z])
    right = merge_mentions([x, merge_mentions([y, z])])
    assert content(left) == content(right) == content(merge_mentions([z, x, y]))


def test_a_post_that_came_twice_is_one_sample_with_its_greatest_engagement():
    first, second = make(3, 1, text="dance"), make(3, 8, text="dance")
    others = [make(i, 5, text="dance") for i in (1, 2, 4)]
    merged = merge_mentions([count([first, *others]), count([second])])
    assert content(merged) == (START, 5, {"dance": (5, [3, 1, 2], [8, 5, 5])})


def test_a_post_without_keywords_is_counted_all_the_same():
    batch = count([make(1, text=""), Post(Item("2"), float(START))])
    assert content(batch) == (START, 2, {})
    assert content(merge_mentions([batch, batch])) == (START, 4, {})


def test_only_batches_of_one_window_are_merged():
    with pytest.raises(ValueError, match="one window"):
        merge_mentions([count([make(1)]), count([make(1, time_stamp=START + 900)])])
    with pytest.raises(ValueError, match="one window"):
        merge_mentions([])


@given(POSTS.filter(bool), st.integers(1, 9))
def test_shards_partition_the_keywords(posts, shards):
    parts = count_in_shards(posts, shards)
    assert len(parts) == shards
    together: dict[str, object] = {}
    for shard, part in enumerate(parts):
        start, total, rows = content(part)
        assert (start, total) == (START, len(posts))
        assert all(keyword_hash(word) % shards == shard for word in rows)
        assert not together.keys() & rows.keys()
        together |= rows
    assert (START, len(posts), together) == naive(posts)


@given(POSTS.filter(bool), POSTS.filter(bool), st.integers(1, 5))
def test_counting_and_merging_can_change_places(a, b, shards):
    whole = count_in_shards(a + b, shards)
    parts = zip(count_in_shards(a, shards), count_in_shards(b, shards), strict=True)
    for there, (x, y) in zip(whole, parts, strict=True):
        assert content(there) == content(merge_mentions([x, y]))


@pytest.mark.parametrize("remembered", [0, 1 << 20])
def test_what_is_remembered_from_bundle_to_bundle_leaves_no_trace(monkeypatch, remembered):
    monkeypatch.setattr(mentions, "MAX_REMEMBERED_BYTES", remembered)
    counter = MentionCounter(2)
    texts = ["dance ramen", "ramen,tokyo #Dance #the", "", "new,words,in-one-piece", "the piece: tokyo", "dance"]
    for i, text in enumerate(texts):
        posts = [make(2 * i + 1, text=text), make(2 * i + 2, text="зима ramen")]
        counter.add(CountedPosts.of(posts))
        (parts,) = counter.drain()
        assert content(parts[0])[2] | content(parts[1])[2] == naive(posts)[2]
        assert {word for part in parts for word in part.words()} == {
            w for post in posts for w in tokenise(post.item.text)
        }


def test_a_piece_is_looked_at_once_and_a_keyword_that_is_none_never(monkeypatch):
    seen = Counter()
    look = lexicon.keywords_of_piece
    monkeypatch.setattr(lexicon, "keywords_of_piece", lambda piece: (seen.update([piece]), look(piece))[1])
    memory = lexicon.Lexicon(4)
    for _ in range(3):
        for text in ("東京タワーの夜景", "東京タワーの夜景 зима", "东京塔夜景"):
            memory.keywords_in(pa.array([text]))
    assert seen == {"東京タワーの夜景": 1, "зима": 1, "东京塔夜景": 1}
    assert len(memory.strings) == 10
    assert memory.nbytes >= memory.strings.nbytes + len(memory.strings)


def test_long_texts_are_read_before_they_are_many(monkeypatch):
    monkeypatch.setattr(mentions, "_BYTES_AT_ONCE", 1_000)
    counter = MentionCounter(1)
    counter.add(CountedPosts.of([make(1, text="dance " * 100), make(2, text="ramen " * 100)]))
    assert not counter._texts
    ((part,),) = counter.drain()
    assert dict(zip(part.words(), part.mentions.tolist(), strict=True)) == {"dance": 1, "ramen": 1}


@given(POSTS.filter(bool))
def test_bytes_round_trip(posts):
    batch = count(posts)
    again = MentionBatch.from_bytes(batch.to_bytes())
    assert content(again) == content(batch)
    assert again.words() == batch.words()
    assert again.mentions.dtype == again.sample_engagement.dtype == np.int64
    assert content(PackedCoder(MentionBatch).decode(PackedCoder(MentionBatch).encode(again))) == content(batch)
    assert content(merge_mentions([again, again])) == content(merge_mentions([batch, batch]))
