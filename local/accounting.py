"""Where every post went: sent, archived, counted, dead-lettered, recounted. Used by the demo and the integration tests."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from transforms import lake
from transforms.archive import read_object, without_repeats
from transforms.posts import NEVER_AHEAD_MS, Rejected, decode_post
from transforms.text import tokenise


@dataclass(frozen=True)
class Recount:
    """What the stream should find in some posts, computed without any of its counting code.

    Attributes:
        digests: how often each distinct line occurs, by its SHA-256.
        dead: unreadable posts.
        posts: readable posts per window start, epoch seconds.
        mentions: readable posts per (keyword, window start).
    """

    digests: Counter[bytes]
    dead: int
    posts: Counter[int]
    mentions: Counter[tuple[str, int]]

    @property
    def lines(self) -> int:
        """Number of posts, readable or not."""
        return self.digests.total()

    @classmethod
    def of(cls, lines: Iterable[bytes]) -> Recount:
        """Count some posts, one by one."""
        digests: Counter[bytes] = Counter()
        posts: Counter[int] = Counter()
        mentions: Counter[tuple[str, int]] = Counter()
        dead = 0
        for line in lines:
            digests[_digest(line)] += 1
            try:
                # Ahead of the record's own time stamp nothing can be here: the producer takes it from the post.
                post = decode_post(line, NEVER_AHEAD_MS)
            except Rejected:
                dead += 1
                continue
            start = int(post.time_stamp) // 900 * 900
            posts[start] += 1
            for keyword in tokenise(post.item.text or ""):
                mentions[keyword, start] += 1
        return cls(digests, dead, posts, mentions)


def digests_of(lines: Iterable[bytes]) -> Counter[bytes]:
    """Return how often each distinct line occurs, by its SHA-256."""
    return Counter(map(_digest, lines))


def _digest(line: bytes) -> bytes:
    return hashlib.sha256(line).digest()


def archived(prefix: str) -> Iterator[bytes]:
    """Yield every post of the raw archive, exactly once."""
    return without_repeats(read_object(url, lake.get(url)) for url in lake.find(f"{prefix}/raw/"))


def dead_letters(prefix: str) -> int:
    """Return the number of distinct dead letters in the lake."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    letters = (decode(line) for url in lake.find(f"{prefix}/dead/") for line in lake.get(url).splitlines())
    return len({(letter["topic"], letter["partition"], letter["offset"]) for letter in letters})


def counted(connection: Any) -> dict[int, int]:
    """Return the posts that the stream counted, by window start in epoch seconds."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM window_start)::bigint, posts FROM window_totals")
        return dict(cursor.fetchall())


def counted_mentions(connection: Any) -> dict[tuple[str, int], int]:
    """Return the mentions that the stream wrote, by keyword and window start in epoch seconds."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT keyword, extract(epoch FROM window_start)::bigint, mentions FROM keyword_windows")
        return {(keyword, start): mentions for keyword, start, mentions in cursor.fetchall()}
