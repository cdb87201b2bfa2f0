"""Posts as rows for Postgres' COPY, and the day's challenges and sounds that they add up to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from transforms.copy_text import NULL, array, text, time_of
from transforms.posts import LAST_SECOND, Post
from transforms.readable import hashtag, readable
from transforms.text import tokenise

MAX_NAME: Final = 256
"""Characters of names and ids that tables have as keys, the rest is cut off: an index of Postgres takes 2,704 bytes."""


def post_row(post: Post, challenges: Sequence[str], dropped: Collection[str]) -> str:
    """Return a line of COPY for the columns ``POST_COLUMNS``.

    Args:
        post: the post.
        challenges: names of its challenges.
        dropped: keywords that carry nothing, to be left out of text and keywords.
    """
    item, author = post.item, post.author
    raw = item.text or ""
    keywords = tokenise(raw) if raw else ()
    fields = (
        str(post.post_id),
        _posted_at(item.create_time),
        time_of(post.time_stamp),
        text(item.author_id or (author.user_id if author else None)),
        text((author.unique_id or author.nick_name) if author else None),
        text(readable(raw, dropped)) if raw else NULL,
        array(sorted(keyword for keyword in keywords if keyword not in dropped)),
        array(challenges),
        text(music_id(post)),
        str(_count(item.comment_count)),
        str(_count(item.digg_count)),
        str(_count(item.share_count)),
    )
    return "\t".join(fields) + "\n"


POST_COLUMNS: Final = (
    "post_id posted_at seen_at author_id author_name text keywords challenges music_id comment_count digg_count share_count"
).split()


def challenges_of(post: Post, dropped: Collection[str]) -> list[str]:
    """Return the distinct names of a post's challenges that say something."""
    names = dict.fromkeys([_cut(challenge.challenge_name) for challenge in post.challenges or ()])
    return [name for name in names if name and hashtag(name) not in dropped]


def music_id(post: Post) -> str | None:
    """Return the id of a post's sound."""
    return _cut(post.item.music_id or (post.music.music_id if post.music else None))


def _cut(name: str | None) -> str | None:
    return name[:MAX_NAME] if name else name


def _engagement(post: Post) -> int:
    item = post.item
    return _count(item.comment_count) + _count(item.digg_count) + _count(item.share_count)


def _count(value: int | None) -> int:
    return max(value or 0, 0)


def _posted_at(create_time: str | None) -> str:
    if create_time is None or not (create_time.isascii() and create_time.isdecimal()):
        return NULL
    seconds = int(create_time[:20])
    return time_of(seconds) if 0 < seconds <= LAST_SECOND else NULL


class DailyTally:
    """Posts and engagement of challenges and sounds, over some posts of a day."""

    def __init__(self) -> None:
        self._challenges: dict[str, list[int]] = {}
        self._music: dict[str, _Sound] = {}

    def add(self, post: Post, challenges: Sequence[str]) -> None:
        """Take in a post that takes part in these challenges."""
        engagement = _engagement(post)
        for name in challenges:
            tally = self._challenges.setdefault(name, [0, 0])
            tally[0] += 1
            tally[1] += engagement
        key = music_id(post)
        if key:
            sound = self._music.get(key)
            if sound is None:
                sound = self._music[key] = _Sound()
            sound.add(post, engagement)

    def challenge_rows(self, date: str) -> Iterable[str]:
        """Return lines of COPY for ``staged_challenges``."""
        return (f"{date}\t{text(name)}\t{posts}\t{total}\n" for name, (posts, total) in self._challenges.items())

    def music_rows(self, date: str) -> Iterable[str]:
        """Return lines of COPY for ``staged_music``."""
        return (
            f"{date}\t{text(key)}\t{text(sound.name)}\t{text(sound.artist)}\t{sound.newest!r}\t{sound.posts}\t{sound.engagement}\n"
            for key, sound in self._music.items()
        )


class _Sound:
    def __init__(self) -> None:
        self.name: str | None = None
        self.artist: str | None = None
        self.newest = 0.0
        self.posts = 0
        self.engagement = 0

    def add(self, post: Post, engagement: int) -> None:
        self.posts += 1
        self.engagement += engagement
        if post.music is not None and post.music.music_name and post.time_stamp >= self.newest:
            # A sound can be renamed; the newest post that names it is right.
            self.name, self.artist = post.music.music_name, _cut(post.music.author_name)
            self.newest = post.time_stamp
