"""Posts as rows, and what a day's challenges and sounds add up to."""

from __future__ import annotations

import pytest

from transforms.post_rows import MAX_NAME, POST_COLUMNS, DailyTally, challenges_of, post_row
from transforms.posts import MAX_COUNT, Author, Challenge, Item, Music, Post


def post(**item: object) -> Post:
    return Post(Item("42", **item), 1_600_000_000.0)  # type: ignore[arg-type]


def row(post: Post, challenges: tuple[str, ...] = (), dropped: tuple[str, ...] = ()) -> dict[str, str]:
    return dict(zip(POST_COLUMNS, post_row(post, challenges, dropped).rstrip("\n").split("\t"), strict=True))


def test_a_bare_post_is_a_row_of_nulls_and_zeros():
    assert row(post()) == {
        "post_id": "42", "posted_at": r"\N", "seen_at": "2020-09-13 12:26:40+00:00", "author_id": r"\N",
        "author_name": r"\N", "text": r"\N", "keywords": "{}", "challenges": "{}", "music_id": r"\N",
        "comment_count": "0", "digg_count": "0", "share_count": "0",
    }  # fmt: skip


def test_what_carries_nothing_takes_no_room():
    found = row(post(text="The #fyp dance 2020 https://x.y/z #Salsa"), ("Salsa",), ("fyp",))
    assert found["text"] == "The dance 2020 #Salsa"  # people read it: stop words and digits stay there
    assert found["keywords"] == '{"dance","salsa"}'
    assert found["challenges"] == '{"Salsa"}'


@pytest.mark.parametrize("create_time", ["", "x", "-5", "0", "99999999999999999999", "1e9", "٣"])
def test_a_creation_time_that_is_none_is_null(create_time):
    assert row(post(create_time=create_time))["posted_at"] == r"\N"


def test_a_count_below_zero_is_none():
    found = row(post(comment_count=-3, digg_count=MAX_COUNT, share_count=7))
    assert (found["comment_count"], found["digg_count"], found["share_count"]) == ("0", str(MAX_COUNT), "7")


def test_author_and_sound_come_from_either_place():
    one = Post(Item("1", author_id="a", music_id="m"), 1.0, Author("u", "name", "Nick"), music=Music("other"))
    two = Post(Item("1"), 1.0, Author("u", None, "Nick"), music=Music("other"))
    assert [row(p)["author_id"] for p in (one, two)] == ["a", "u"]
    assert [row(p)["author_name"] for p in (one, two)] == ["name", "Nick"]
    assert [row(p)["music_id"] for p in (one, two)] == ["m", "other"]


def test_a_challenge_counts_once_per_post_and_boilerplate_not_at_all():
    names = [
        Challenge("1", "FYP"),
        Challenge("2", "Salsa"),
        Challenge("3", "Salsa"),
        Challenge("4", None),
        Challenge("5", ""),
    ]
    assert challenges_of(Post(Item("1"), 1.0, challenges=names), {"fyp"}) == ["Salsa"]


def test_names_are_cut_to_what_an_index_takes():
    long = "x" * (MAX_NAME + 1)
    named = Post(Item("1", music_id=long), 1.0, challenges=[Challenge("1", long), Challenge("2", long + "y")])
    assert challenges_of(named, ()) == [long[:-1]]
    assert row(named)["music_id"] == long[:-1]
    tally = DailyTally()
    tally.add(Post(Item("1"), 1.0, music=Music(long, "Song", long)), [])
    assert list(tally.music_rows("D")) == [f"D\t{long[:-1]}\tSong\t{long[:-1]}\t1.0\t1\t0\n"]


def test_a_day_adds_up():
    tally = DailyTally()
    tally.add(Post(Item("1", music_id="m", digg_count=2), 5.0, music=Music("m", "New", "Ann")), ["a"])
    tally.add(Post(Item("2", music_id="m", digg_count=3), 4.0, music=Music("m", "Old", "Bob")), ["a", "b"])
    tally.add(Post(Item("3"), 6.0), [])
    assert sorted(tally.challenge_rows("D")) == ["D\ta\t2\t5\n", "D\tb\t1\t3\n"]
    assert list(tally.music_rows("D")) == ["D\tm\tNew\tAnn\t5.0\t2\t5\n"]  # the newest post's name
