"""Decoding whole batches, and the columns that it gives."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.counted_posts import MAX_ENGAGEMENT, CountedPosts
from transforms.dead_letters import Reason
from transforms.decoding import decode_batch
from transforms.packing import PackedCoder
from transforms.post_id import MAX_POST_ID
from transforms.posts import CountedItem, CountedPost, Rejected, decode_counted, decode_post
from transforms.records import RawBatch
from transforms.text import MAX_TEXT

NOW = 1_600_000_000


def raw(post_id: object = "5", time_stamp: object = NOW, **item: object) -> bytes:
    return json.dumps({"itemInfos": {"id": post_id, **item}, "time_stamp": time_stamp}).encode()


def rows(posts: CountedPosts) -> list[tuple[object, ...]]:
    numbers = (posts.ids, posts.window_starts, posts.engagement)
    return list(zip(*(column.tolist() for column in numbers), posts.texts.to_pylist(), strict=True))


RECORDS = [
    raw(),
    raw("0007", text="a #dance 😂", diggCount=3, shareCount=4, commentCount=5),
    raw(str(MAX_POST_ID), NOW - 10**6),
    raw(8, diggCount="6", text=["no text"]),
    raw("9", f"{NOW + 0.5}", diggCount=-3),
    raw("10", NOW + 899, diggCount=2**62),
    raw("11", NOW + 901),
    raw("12", -1),
    raw("13", "1e999"),
    raw(""),
    raw("0"),
    raw("٧"),
    raw("-5"),
    raw(" 5"),
    raw("5_0"),
    raw(str(MAX_POST_ID + 1)),
    raw("9" * 19),
    raw("0" * 20 + "1"),
    b"",
    b"{",
    b"\xff",
    b"[]",
    b'{"itemInfos":' + b"[" * 5000,
]


@given(st.lists(st.sampled_from(RECORDS), max_size=12))
def test_a_batch_decodes_as_its_records_do_and_nothing_is_lost(values):
    posts, dead = decode_batch(RawBatch("posts", 3, 100, [NOW * 1000] * len(values), values))
    expected, rejected = [], []
    for i, value in enumerate(values):
        try:
            expected.append(decode_counted(value, NOW * 1000))
        except Rejected as why:
            rejected.append((100 + i, why.reason, why.detail, value))
    assert rows(posts) == rows(CountedPosts.of(expected))
    assert [(letter.offset, letter.reason, letter.detail, letter.raw) for letter in dead] == rejected


def test_a_batch_is_parted_without_loss_and_in_order():
    values = [raw("1"), b"{", raw("2"), b"", b"\xff"]
    posts, dead = decode_batch(RawBatch("posts", 3, 100, [NOW * 1000 + i for i in range(5)], values))
    assert posts.ids.tolist() == [1, 2]
    assert [(d.reason, d.offset, d.raw, d.timestamp_ms) for d in dead] == [
        (Reason.NOT_JSON, 101, b"{", NOW * 1000 + 1),
        (Reason.EMPTY, 103, b"", NOW * 1000 + 3),
        (Reason.NOT_UTF8, 104, b"\xff", NOW * 1000 + 4),
    ]
    assert [d.key for d in dead] == ["posts-3-101", "posts-3-103", "posts-3-104"]


@given(
    broken=st.sampled_from(
        [
            b'"\xff"',
            b"1",
            b"null",
            b"[]",
            b'"x"',
            b'{"userId":"\xff"}',
            b'{"userId":7}',
            b'[{"challengeName":"\xfe"}]',
            b"{",
        ]
    ),
    field=st.sampled_from(["authorInfos", "challengeInfoList", "musicInfos", "musicId", "other"]),
    where=st.sampled_from([b"", b"x"]),
)
def test_counting_and_decoding_in_full_take_the_same_posts(broken, field, where):
    inside, outside = (field, "other") if field == "musicId" else ("authorId", field)
    record = b'{"itemInfos":{"id":"5","text":"dance","%s":%s},"time_stamp":1600000000,"%s":%s}%s' % (
        inside.encode(),
        broken if field == "musicId" else b"null",
        outside.encode(),
        broken,
        where,
    )
    counted, dead = decode_batch(RawBatch("t", 0, 0, [NOW * 1000], [record]))
    try:
        whole = [decode_post(record, NOW * 1000)]
    except Rejected:
        whole = []
    assert rows(counted) == rows(CountedPosts.of(whole))
    assert len(counted) + len(dead) == 1


@pytest.mark.parametrize(
    ("counts", "engagement"),
    [((None, None, None), 0), ((1, None, 3), 4), ((-5, 2, 0), 0), ((2**31, 2**31, 0), MAX_ENGAGEMENT), ((2**62,) * 3, MAX_ENGAGEMENT)],
)  # fmt: skip
def test_columns_hold_what_the_posts_say(counts, engagement):
    item = CountedItem("7", "x" * (MAX_TEXT + 1), *counts)
    assert rows(CountedPosts.of([CountedPost(item, NOW + 0.9)])) == [(7, NOW - NOW % 900, engagement, "x" * MAX_TEXT)]


@pytest.mark.parametrize("values", [[], [raw(), raw("6", text="é"), raw("7", NOW - 900, diggCount=2)]])
def test_counted_posts_can_leave_the_process(values):
    posts, _ = decode_batch(RawBatch("t", 0, 0, [NOW * 1000] * len(values), values))
    coder = PackedCoder(CountedPosts)
    again = coder.decode(coder.encode(posts))
    assert rows(again) == rows(posts)
    assert len(again) == len(values)
    assert coder.estimate_size(again) >= 24 * len(values)
