"""One number for all counts: equal if and, but for a chance of 2^-64, only if every count is equal.

It is the sum of mentions times the hash of (window, keyword), modulo 2^64. So it can be added up in any order and from
any parts, and each contender can compute it without holding all counts in one place.
"""

from __future__ import annotations

from collections.abc import Iterable

import xxhash

MODULUS = 1 << 64


def checksum(window_start: int, counts: Iterable[tuple[str, int]]) -> int:
    """Return the checksum of some counts of one window."""
    seed = window_start % MODULUS
    return sum(xxhash.xxh3_64_intdigest(word.encode(), seed) * int(mentions) for word, mentions in counts) % MODULUS


def shown(posts: int, total: int) -> str:
    """Write the number of posts and the checksum as one word."""
    return f"{posts}-{total % MODULUS:016x}"
