"""Event times: what is read, and that nothing else of a post changes."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.stamping import MAX_POST_BYTES, Reason, Stamper, Time, UnreadableError, latest, with_time_stamp

NAMES = st.one_of(st.sampled_from(["time_stamp", "time", "text", 'x"y', "\\"]), st.text(max_size=8))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=20)
    | st.sampled_from(['"time_stamp":1', ',"time_stamp": 1}', "time_stamp"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)  # fmt: skip
SPACINGS = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :\t")])


@given(st.dictionaries(NAMES, JSON, max_size=5), SPACINGS, st.booleans())
def test_injection_changes_the_time_stamp_alone(post, separators, ascii_only):
    raw = json.dumps(post, separators=separators, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    stamped = with_time_stamp(raw, 1_700_000_000.25)
    assert json.loads(stamped) == {**post, "time_stamp": 1_700_000_000.25}
    if "time_stamp" not in post:
        assert stamped.replace(b',"time_stamp":1700000000.250', b"").replace(b'"time_stamp":1700000000.250', b"") == raw
    else:
        before = raw.rfind(b'"time_stamp"') if list(post)[-1] == "time_stamp" and not post["time_stamp"] else 0
        assert stamped[:before] == raw[:before]


@given(st.dictionaries(NAMES.filter(lambda name: name != "time_stamp"), JSON, max_size=4))
def test_a_stamped_post_can_be_stamped_again(post):
    raw = json.dumps(post).encode()
    once = with_time_stamp(raw, 1.0)
    assert with_time_stamp(with_time_stamp(raw, 2.0), 1.0) == once


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"a":1}', b'{"a":1,"time_stamp":5.000}'),
        (b'{"a":1 } ', b'{"a":1 ,"time_stamp":5.000} '),
        (b'{"a":1,"time_stamp":17}', b'{"a":1,"time_stamp":5.000}'),
        (b'{"time_stamp":"17","a":{"time_stamp":1}}', b'{"time_stamp":5.000,"a":{"time_stamp":1}}'),
        (b'{"a":1,"time_stamp":{"x":[1,2]},"b":2}', b'{"a":1,"time_stamp":5.000,"b":2}'),
        (b'{"time\\u005fstamp":1,"b":2}', b'{"time\\u005fstamp":5.000,"b":2}'),
        (b'{"b":"time_stamp","c":[{"time_stamp":2}]}', b'{"b":"time_stamp","c":[{"time_stamp":2}],"time_stamp":5.000}'),
        (b'{"time_stamp":1,"b":2,"time_stamp":3,"c":4}', b'{"time_stamp":1,"b":2,"time_stamp":5.000,"c":4}'),
    ],
)
def test_injection_by_example(raw, expected):
    assert with_time_stamp(raw, 5) == expected


def post(post_id="42", time_stamp=1_600_000_000.5, create_time="1500000000", **item):
    tree = {"itemInfos": {"id": post_id, "createTime": create_time, **item}, "time_stamp": time_stamp}
    return msgspec.json.encode(tree)


def test_keep_leaves_the_bytes_alone():
    raw = post()
    assert Stamper().stamp(raw) == ("42", 1_600_000_000.5, 1_600_000_000.5, raw)


def test_now_is_the_clock():
    stamped = Stamper(Time.NOW, clock=lambda: 1_700_000_000.123).stamp(post(time_stamp=None))
    assert stamped.time_stamp == 1_700_000_000.123
    assert msgspec.json.decode(stamped.value)["time_stamp"] == 1_700_000_000.123


def test_create_time_is_taken_from_the_post():
    assert Stamper(Time.CREATE_TIME).stamp(post()).time_stamp == 1_500_000_000


def test_shift_keeps_distances():
    stamper = Stamper(Time.SHIFT, shift=10_000)
    stamped = [stamper.stamp(post(time_stamp=seconds)) for seconds in (1000.0, 1060.5, 990.25)]
    assert [each.time_stamp for each in stamped] == [11_000, 11_060.5, 10_990.25]
    assert [each.happened for each in stamped] == [1000, 1060.5, 990.25]
    assert [msgspec.json.decode(each.value)["time_stamp"] for each in stamped] == [11_000, 11_060.5, 10_990.25]


def test_shift_falls_back_on_create_time():
    assert Stamper(Time.SHIFT, shift=7).stamp(post(time_stamp=None)).time_stamp == 1_500_000_007


def test_now_remembers_when_it_happened_if_it_can():
    stamper = Stamper(Time.NOW, clock=lambda: 1_700_000_000.0)
    posts = [post(), post(time_stamp=None), post(time_stamp=None, create_time=None)]
    assert [stamper.stamp(each).happened for each in posts] == [1_600_000_000.5, 1_500_000_000, 0]


def test_the_latest_post_of_lines_in_any_order():
    lines = [post(time_stamp=5), b"nonsense", post(time_stamp=9), post(time_stamp=None, create_time="7")]
    assert latest(lines) == 9
    assert latest([*lines, post(time_stamp=None, create_time="11")]) == 11
    assert latest([b"nonsense"]) is None


def test_a_number_in_quotes_and_a_bare_id_are_understood():
    assert Stamper().stamp(post(post_id=42, time_stamp="17.5"))[:2] == ("42", 17.5)


def test_a_post_with_broken_optional_fields_is_usable():
    assert Stamper().stamp(post(create_time=[1], text=None, diggCount="x")).post_id == "42"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.NOT_JSON),
        (b"{", Reason.NOT_JSON),
        (post()[:-3], Reason.NOT_JSON),
        (b"[" * 100_000, Reason.NOT_JSON),
        (b"[]", Reason.NOT_AN_OBJECT),
        (b"17", Reason.NOT_AN_OBJECT),
        (b'{"time_stamp":1}', Reason.BAD_ID),
        (b'{"itemInfos":null,"time_stamp":1}', Reason.BAD_ID),
        (post(post_id=None), Reason.BAD_ID),
        (post(post_id="x"), Reason.BAD_ID),
        (post(post_id="٤٢"), Reason.BAD_ID),
        (post(post_id="0"), Reason.BAD_ID),
        (post(post_id=str(2**63)), Reason.BAD_ID),
        (post(post_id="9" * 5000), Reason.BAD_ID),
        (post(time_stamp=None), Reason.BAD_TIME_STAMP),
        (post(time_stamp="soon"), Reason.BAD_TIME_STAMP),
        (post(time_stamp=True), Reason.BAD_TIME_STAMP),
        (post(time_stamp=0), Reason.BAD_TIME_STAMP),
        (post(time_stamp=-5), Reason.BAD_TIME_STAMP),
        (post(time_stamp=10**15), Reason.BAD_TIME_STAMP),
        (post(text="x").replace(b'"x"', b'"\xff\xfe"'), Reason.NOT_UTF8),
        (post(text="x" * MAX_POST_BYTES), Reason.TOO_LARGE),
    ],
)
def test_what_cannot_be_used_is_unreadable(raw, reason):
    with pytest.raises(UnreadableError) as unreadable:
        Stamper().stamp(raw)
    assert unreadable.value.reason is reason


def test_a_post_without_create_time_has_none():
    with pytest.raises(UnreadableError) as unreadable:
        Stamper(Time.CREATE_TIME).stamp(post(create_time=None))
    assert unreadable.value.reason is Reason.BAD_CREATE_TIME
