"""Decoding of posts: every reason of a dead letter, and what is forgiven."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.counted_posts import CountedPosts
from transforms.dead_letters import Reason
from transforms.decoding import decode_batch
from transforms.mentions import MentionCounter
from transforms.post_id import MAX_POST_ID
from transforms.post_rows import POST_COLUMNS, post_row
from transforms.posts import (
    FUTURE_TOLERANCE_SECONDS,
    MAX_COUNT,
    NEVER_AHEAD_MS,
    Post,
    Rejected,
    decode_counted,
    decode_post,
)
from transforms.records import RawBatch

NOW = 1_600_000_000
WHOLE = {
    "itemInfos": {
        "id": "6907230749122825473",
        "text": "hello #dance",
        "createTime": "1599999000",
        "authorId": "5",
        "musicId": "6",
        "commentCount": 1,
        "diggCount": 20,
        "shareCount": 300,
        "video": {"url": ["u"], "videoMeta": {"height": 1}},
    },
    "time_stamp": NOW + 0.5,
    "authorInfos": {"userId": "5", "uniqueId": "me", "nickName": "Me 😂"},
    "challengeInfoList": [{"challengeId": "8", "challengeName": "dance"}],
    "musicInfos": {"musicId": "6", "musicName": "la", "authorName": "x"},
}


def decode(value: object) -> Post:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return decode_post(raw, NOW * 1000)


def post(item: dict[str, object] | None = None, **fields: object) -> dict[str, object]:
    return {**WHOLE, "itemInfos": {**WHOLE["itemInfos"], **(item or {})}, **fields}


def test_a_whole_post():
    decoded = decode(WHOLE)
    assert decoded.post_id == 6907230749122825473
    assert decoded.item.text == "hello #dance"
    assert decoded.engagement == 321
    assert decoded.time_stamp == NOW + 0.5
    assert decoded.window_start == NOW - NOW % 900
    assert decoded.author.nick_name == "Me 😂"
    assert decoded.challenges[0].challenge_name == "dance"
    assert decoded.music.author_name == "x"


def test_only_id_and_time_stamp_are_needed():
    decoded = decode({"itemInfos": {"id": "1"}, "time_stamp": NOW})
    assert (decoded.post_id, decoded.item.text, decoded.engagement, decoded.author) == (1, None, 0, None)


HUGE = b'{"itemInfos":{"id":"7"},"time_stamp":1' + b"0" * 400 + b"}"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"\xff\xfe", Reason.NOT_UTF8),
        (b'{"itemInfos":{"id":"7","text":"\xff"},"time_stamp":1}', Reason.NOT_UTF8),
        (b" ", Reason.NOT_JSON),
        (b'{"itemInfos":', Reason.NOT_JSON),
        (json.dumps(WHOLE).encode()[:-1], Reason.NOT_JSON),
        (b'{"itemInfos":{"id":"\\ud800"},"time_stamp":1}', Reason.NOT_JSON),
        (b"[" * 100_000, Reason.NOT_JSON),
        (b"[]", Reason.NOT_AN_OBJECT),
        (b"null", Reason.NOT_AN_OBJECT),
        (b'"text"', Reason.NOT_AN_OBJECT),
        (b"17", Reason.NOT_AN_OBJECT),
        ({}, Reason.BAD_ID),
        ({**WHOLE, "itemInfos": None}, Reason.BAD_ID),
        ({**WHOLE, "itemInfos": []}, Reason.BAD_ID),
        (post({"id": None}), Reason.BAD_ID),
        (post({"id": True}), Reason.BAD_ID),
        (post({"id": 1.5}), Reason.BAD_ID),
        (post({"id": ""}), Reason.BAD_ID),
        (post({"id": "0"}), Reason.BAD_ID),
        (post({"id": "-5"}), Reason.BAD_ID),
        (post({"id": "٧"}), Reason.BAD_ID),
        (post({"id": str(MAX_POST_ID + 1)}), Reason.BAD_ID),
        (post({"id": "9" * 5000}), Reason.BAD_ID),
        (post({"id": f"{MAX_POST_ID + 1:040}"}), Reason.BAD_ID),
        (post({"id": MAX_POST_ID + 1}), Reason.BAD_ID),
        (post(time_stamp=None), Reason.BAD_TIME_STAMP),
        ({"itemInfos": {"id": "1"}}, Reason.BAD_TIME_STAMP),
        (post(time_stamp="yesterday"), Reason.BAD_TIME_STAMP),
        (post(time_stamp="nan"), Reason.BAD_TIME_STAMP),
        (post(time_stamp="1e999"), Reason.BAD_TIME_STAMP),
        (post(time_stamp=True), Reason.BAD_TIME_STAMP),
        (post(time_stamp=[NOW]), Reason.BAD_TIME_STAMP),
        (post(time_stamp=0), Reason.BAD_TIME_STAMP),
        (post(time_stamp=-1.0), Reason.BAD_TIME_STAMP),
        (HUGE, Reason.BAD_TIME_STAMP),
        (post(time_stamp=NOW + FUTURE_TOLERANCE_SECONDS + 1), Reason.FUTURE_TIME_STAMP),
        (post(time_stamp=NOW * 1000), Reason.FUTURE_TIME_STAMP),
        (post(time_stamp=1e300), Reason.FUTURE_TIME_STAMP),
    ],
)
def test_rejected_with_its_reason(value, reason):
    with pytest.raises(Rejected) as rejected:
        decode(value)
    assert rejected.value.reason is reason
    assert rejected.value.detail
    assert len(rejected.value.detail) < 300


def test_every_reason_is_tested():
    cases = test_rejected_with_its_reason.pytestmark[0].args[1]
    assert {reason for _, reason in cases} == set(Reason)


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"9" * 5_000, b"-" + b"9" * 5_000])
def test_a_number_that_cannot_be_read_is_missing(number):
    found = decode(b'{"itemInfos":{"id":"7","text":"a b","diggCount":%s},"more":1.5,"time_stamp":%d}' % (number, NOW))
    assert (found.post_id, found.item.text, found.item.digg_count) == (7, "a b", None)


@pytest.mark.parametrize("rest", [b"", b',"a":NaN}', b',"a":"\\ud800"}', b"}}"])
def test_beside_a_number_that_cannot_be_read_the_rest_must_be_json(rest):
    with pytest.raises(Rejected) as rejected:
        decode(b'{"itemInfos":{"id":"7","diggCount":1e400},"time_stamp":%d%s' % (NOW, rest))
    assert rejected.value.reason is Reason.NOT_JSON


@pytest.mark.parametrize("count", [10**30, 10**400, str(10**18 * 9)])
def test_a_count_beyond_any_sense_is_held_within_what_columns_hold(count):
    assert decode(post({"diggCount": count})).item.digg_count == MAX_COUNT


def test_milliseconds_are_no_seconds_whatever_the_record_says():
    with pytest.raises(Rejected, match="is it in seconds") as rejected:
        decode_counted(json.dumps(post(time_stamp=NOW * 1000)).encode(), NEVER_AHEAD_MS)
    assert rejected.value.reason is Reason.BAD_TIME_STAMP
    late = RawBatch("t", 0, 0, [NEVER_AHEAD_MS], [json.dumps(post(time_stamp=NOW * 1000)).encode()])
    assert [letter.reason for letter in decode_batch(late).dead] == [Reason.BAD_TIME_STAMP]


def test_future_within_tolerance_and_any_past_are_taken():
    assert decode(post(time_stamp=NOW + FUTURE_TOLERANCE_SECONDS)).time_stamp == NOW + 900
    assert decode(post(time_stamp=1)).window_start == 0


def test_largest_id():
    assert decode(post({"id": str(MAX_POST_ID)})).post_id == MAX_POST_ID


def test_numbers_and_texts_are_taken_for_each_other():
    decoded = decode(post({"id": 77, "diggCount": "20", "createTime": 1599999000}, time_stamp=f"{NOW}"))
    assert (decoded.item.id, decoded.item.digg_count, decoded.item.create_time) == ("77", 20, "1599999000")
    assert decoded.time_stamp == NOW


@pytest.mark.parametrize("wrong", [None, True, 1.5, [], {}, [1], {"a": "b"}])
@pytest.mark.parametrize(
    "name", ["text", "createTime", "authorId", "musicId", "commentCount", "diggCount", "shareCount"]
)
def test_a_field_of_the_wrong_type_is_missing_and_the_others_stay(name, wrong):
    decoded = decode(post({name: wrong}))
    there = json.loads(msgspec.json.encode(decoded.item))
    assert there.pop(name) is None
    assert there == {key: WHOLE["itemInfos"][key] for key in there}
    assert decoded.author == decode(WHOLE).author
    assert decoded.challenges == decode(WHOLE).challenges


@pytest.mark.parametrize("wrong", [None, True, 1.5, "x", [3]])
@pytest.mark.parametrize("name", ["authorInfos", "challengeInfoList", "musicInfos"])
def test_a_part_of_the_wrong_type_is_missing(name, wrong):
    decoded = decode(post(**{name: wrong}))
    assert decoded.item == decode(WHOLE).item
    part = {"authorInfos": decoded.author, "challengeInfoList": decoded.challenges, "musicInfos": decoded.music}[name]
    values = msgspec.to_builtins(part)
    assert not values or not any(values.values())


def test_good_challenges_among_bad_ones_are_kept():
    decoded = decode(post(challengeInfoList=[None, {"challengeId": 8, "challengeName": "a"}, "b"]))
    assert [(c.challenge_id, c.challenge_name) for c in decoded.challenges] == [("8", "a")]


def check(raw: bytes) -> None:
    """Decode: it must give ``Rejected`` or a post that can be counted and stored, nothing else.

    A post that stopped the count would stop the stream, after each restart again.
    """
    decoded = None
    with suppress(Rejected):
        decoded = decode_post(raw, NOW * 1000)
    if decoded is not None:
        assert 0 < decoded.post_id <= MAX_POST_ID
        assert 0 <= decoded.window_start <= decoded.time_stamp < decoded.window_start + 900
        counter = MentionCounter(1)
        counter.add(CountedPosts.of([decoded]))
        ((counted,),) = counter.drain()
        assert counted.posts == 1
        assert post_row(decoded, [], ()).count("\t") == len(POST_COLUMNS) - 1


@given(st.binary(max_size=300))
def test_arbitrary_bytes(raw):
    check(raw)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(ANY_JSON)
def test_arbitrary_json(tree):
    check(json.dumps(tree).encode())


@given(
    st.fixed_dictionaries(
        {
            "itemInfos": st.fixed_dictionaries(
                {"id": ANY_JSON | st.just("7")},
                optional=dict.fromkeys(
                    ["text", "createTime", "authorId", "musicId", "commentCount", "diggCount", "shareCount"], ANY_JSON
                ),
            )
            | ANY_JSON,
            "time_stamp": ANY_JSON | st.just(NOW),
        },
        optional=dict.fromkeys(["authorInfos", "challengeInfoList", "musicInfos"], ANY_JSON),
    )
)
@example({"itemInfos": {"id": "7"}, "time_stamp": 10**400})
@example({"itemInfos": {"id": "7"}, "time_stamp": -(10**400)})
@example({"itemInfos": {"id": "7", "shareCount": 10**400}, "time_stamp": NOW})
@example({"itemInfos": {"id": f"{MAX_POST_ID + 1:040}"}, "time_stamp": NOW})
def test_objects_with_arbitrary_fields(tree):
    check(json.dumps(tree).encode())


@given(st.data())
def test_a_damaged_post(data):
    raw = bytearray(json.dumps(WHOLE).encode())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    check(bytes(raw))
