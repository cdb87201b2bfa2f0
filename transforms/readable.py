"""A post's text as a person reads it, without what carries nothing: URLs, and hashtags that are on posts of every kind.

What says nothing about a post (``#fyp``, ``#foryou``) differs by country and year, so it is measured: a hashtag is
boilerplate if it is on at least ``BOILERPLATE_SHARE`` of a day's posts and was so on most of the days before. A topic
that the whole platform talks about for a day or two is not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final

import regex

from transforms.posts import Post
from transforms.text import WORD, keywords_of

BOILERPLATE_SHARE: Final = 0.02
"""Share of a day's posts from which a hashtag may say nothing; ordinary words' share is what a language gives them, and
no word is boilerplate for it."""

LEAST_SAMPLED: Final = 20
"""Posts of a sample that a common hashtag must be on, whatever their share."""

_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
# As the tokeniser has it: no punctuation or emoji behind it is part of it. A comma belongs to a list of hashtags.
_HASHTAG = regex.compile(rf"[#＃]({WORD})(?:\s?[,，、;])?")


@lru_cache(maxsize=1 << 16)
def hashtag(name: str) -> str | None:
    """Return the keyword that a hashtag, or the name of a challenge, is counted as; ``None`` if it is none.

    >>> hashtag("ForYou")
    'foryou'
    """
    found = keywords_of("#" + name) if len(name.split()) == 1 else ()
    return next(iter(found), None)


def hashtags(post: Post) -> set[str]:
    """Return the hashtags and challenges of a post, as keywords."""
    names = [match[1] for match in _HASHTAG.finditer(_without_urls(post.item.text or ""))]
    names += [challenge.challenge_name for challenge in post.challenges or () if challenge.challenge_name]
    return {tag for name in names if (tag := hashtag(name)) is not None}


def common(hashtags: Mapping[str, int], sampled: int) -> dict[str, float]:
    """Return the hashtags that are on many posts, and their share of the posts, 0 to 1.

    Args:
        hashtags: how many posts of a sample each is on.
        sampled: posts in the sample; a small one shows nothing.
    """
    least = max(BOILERPLATE_SHARE * sampled, LEAST_SAMPLED)
    return {tag: count / sampled for tag, count in sorted(hashtags.items()) if count >= least}


def boilerplate(common_today: Collection[str], common_before: Sequence[Collection[str]]) -> frozenset[str]:
    """Choose the hashtags that say nothing: common today and on most of some days before, if there are any."""
    return frozenset(
        tag
        for tag in common_today
        if not common_before or 2 * sum(tag in day for day in common_before) > len(common_before)
    )


def readable(text: str, dropped: Collection[str]) -> str:
    """Return a text without URLs and boilerplate hashtags, white space evened out.

    >>> readable("New dance  #fyp #Salsa https://example.org/x", {"fyp"})
    'New dance #Salsa'
    """
    text = _without_urls(text)
    if dropped and ("#" in text or "＃" in text):
        text = _HASHTAG.sub(lambda match: " " if hashtag(match[1]) in dropped else match[0], text)
    return " ".join(text.split())


def _without_urls(text: str) -> str:
    return _URL.sub(" ", text) if "://" in text or "www." in text.lower() else text
