"""COPY's text format; that Postgres reads it so is shown in tests/integration/test_daily_batch.py."""

from __future__ import annotations

from datetime import date

import pytest

from transforms.copy_text import array, day_start, encode, text, time_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, r"\N"), ("", ""), ("a b", "a b"), ("a\tb\nc\rd\\e", r"a\tb\nc\rd\\e"), ("a\0b", "ab"), (r"\N", r"\\N")],
)
def test_text(value, expected):
    assert text(value) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], "{}"), (["a", "b c"], '{"a","b c"}'), ([""], '{""}'), (['q"', "b\\", "t\t"], r'{"q\\"","b\\\\","t\t"}')],
)
def test_array(values, expected):
    assert array(values) == expected


def test_half_a_surrogate_pair_does_not_stop_a_copy():
    assert encode(["a\ud800b\n"]) == b"a?b\n"


def test_times():
    assert time_of(1_600_000_000) == "2020-09-13 12:26:40+00:00"
    assert time_of(1_600_000_000.25) == "2020-09-13 12:26:40.250000+00:00"
    assert time_of(1_600_000_000.123) == "2020-09-13 12:26:40.123000+00:00"
    assert time_of(1_606_262_399.9999998) == "2020-11-24 23:59:59.999999+00:00"  # not the 25th
    assert day_start(date(2020, 9, 13)) == "2020-09-13 00:00:00+00"
