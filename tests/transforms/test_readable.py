"""Texts without what says nothing, and how that is measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.posts import Challenge, Item, Post
from transforms.readable import boilerplate, common, hashtag, hashtags, readable
from transforms.text import tokenise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words", "plain words"),
        ("  a\n\tb  ", "a b"),
        ("see https://t.co/x?y=1 now", "see now"),
        ("WWW.EXAMPLE.ORG and www.example.org/a b", "and b"),
        ("#fyp dance #ForYou #salsa", "dance #salsa"),
        ("#fyp#salsa#FYP", "#salsa"),
        ("＃fyp fyp", "fyp"),  # the word itself is not a hashtag
        ("#fypシ stays", "#fypシ stays"),
        ("so good #fyp😂", "so good 😂"),
        ("Nice #fyp, really", "Nice really"),
        ("#fyp, #ForYou , #salsa, dance", "#salsa, dance"),
        ('(#fyp) "#foryou"!', '( ) " "!'),
        ("#fyp's #fyp-dance", "#fyp's -dance"),
        ("", ""),
    ],
)
def test_urls_and_boilerplate_hashtags_go_and_the_rest_stays(text, expected):
    assert readable(text, {"fyp", "foryou"}) == expected


def test_a_challenge_and_a_hashtag_are_the_same_keyword():
    post = Post(
        Item("1", text="#Dance #fyp http://x.y/#no dance2"), 1.0, challenges=[Challenge("9", "DANCE"), Challenge()]
    )
    assert hashtags(post) >= {"dance", "fyp"}
    assert "dance2" not in hashtags(post)


def test_a_hashtag_ends_where_the_tokeniser_ends_it():
    post = Post(Item("1", text="#fyp, (#dance) #cat😂 ##dog #c'est https://x.y/#no @ann#yes #2020"), 1.0)
    assert hashtags(post) == {"fyp", "dance", "cat", "dog", "c'est", "yes"}


PIECES = ["#fyp", "＃FYP", "#salsa", "fyp", " ", ",", "😂", "'s", "#", "@a", "東京", "x", " https://x.y/#fyp ", "!"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_keyword_comes_or_goes_but_what_is_dropped(text):
    assert tokenise(readable(text, {"fyp"})) - {"fyp"} == tokenise(text) - {"fyp"}


@pytest.mark.parametrize(("name", "expected"), [("ForYou", "foryou"), ("2020", None), ("", None), ("a b", None)])
def test_a_hashtag_that_is_no_keyword_is_none(name, expected):
    assert hashtag(name) == expected


def test_common_is_a_share_of_the_sample_and_a_small_sample_shows_nothing():
    assert common({"fyp": 300, "dance": 19, "cat": 20}, 1_000) == {"fyp": 0.3, "cat": 0.02}
    assert common({"fyp": 9}, 10) == {}
    assert common({}, 0) == {}


def test_boilerplate_is_common_day_after_day():
    today = {"fyp": 0.3, "superbowl": 0.2}
    assert boilerplate(today, []) == {"fyp", "superbowl"}  # nothing to compare with yet
    assert boilerplate(today, [{"fyp"}, {"fyp"}, {"other"}]) == {"fyp"}
    assert boilerplate(today, [{"superbowl", "fyp"}, {"fyp"}]) == {"fyp"}  # half of the days is not most
