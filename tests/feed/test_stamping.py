"""Event times: what is read, and that nothing else of a post changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.stamping import Stamper, Time, UnreadableError, with_time_stamp

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
    assert Stamper().stamp(raw) == ("42", 1_600_000_000.5, raw)


def test_now_is_the_clock():
    stamped = Stamper(Time.NOW, clock=lambda: 1_700_000_000.123).stamp(post(time_stamp=None))
    assert stamped.time_stamp == 1_700_000_000.123
    assert msgspec.json.decode(stamped.value)["time_stamp"] == 1_700_000_000.123


def test_create_time_is_taken_from_the_post():
    assert Stamper(Time.CREATE_TIME).stamp(post()).time_stamp == 1_500_000_000


def test_shift_keeps_distances():
    stamper = Stamper(Time.SHIFT, datetime(2025, 1, 1, tzinfo=UTC))
    base = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
    times = [stamper.stamp(post(time_stamp=seconds)).time_stamp - base for seconds in (1000.0, 1060.5, 990.25)]
    assert times == [0, 60.5, -9.75]


def test_shift_falls_back_on_create_time():
    stamper = Stamper(Time.SHIFT, clock=lambda: 2_000_000_000.0)
    assert stamper.stamp(post(time_stamp=None)).time_stamp == 2_000_000_000
    assert stamper.stamp(post(time_stamp=None, create_time="1500000007")).time_stamp == 2_000_000_007


def test_a_number_in_quotes_and_a_bare_id_are_understood():
    assert Stamper().stamp(post(post_id=42, time_stamp="17.5"))[:2] == ("42", 17.5)


def test_a_post_with_broken_optional_fields_is_usable():
    assert Stamper().stamp(post(create_time=[1], text=None, diggCount="x")).post_id == "42"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"17",
        post()[:-3],
        post(post_id=None),
        post(post_id="x"),
        post(post_id="٤٢"),
        post(post_id="0"),
        post(post_id=str(2**63)),
        post(post_id="9" * 5000),
        post(time_stamp=None),
        post(time_stamp="soon"),
        post(time_stamp=True),
        post(time_stamp=0),
        post(time_stamp=-5),
        post(time_stamp=10**15),
        post(text="x").replace(b'"x"', b'"\xff\xfe"'),
        b'{"time_stamp":1}',
        b'{"itemInfos":null,"time_stamp":1}',
        b"[" * 100_000,
    ],
)
def test_what_cannot_be_used_is_unreadable(raw):
    with pytest.raises(UnreadableError):
        Stamper().stamp(raw)
