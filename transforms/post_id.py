"""Ids of posts. Here rather than with the decoding, for the feed asks too, and does without Beam."""

from __future__ import annotations

from typing import Final

MAX_POST_ID: Final = 2**63 - 1
MAX_DIGITS: Final = len(str(MAX_POST_ID))


def is_post_id(text: str) -> bool:
    """Tell whether a text is a positive 63-bit number in decimal digits.

    >>> is_post_id("6859430216"), is_post_id("0"), is_post_id("٧")
    (True, False, False)
    """
    # isdecimal() alone would let other scripts' digits through; int() would then take them, but SQL readers would not.
    return len(text) <= MAX_DIGITS and text.isascii() and text.isdecimal() and 0 < int(text) <= MAX_POST_ID
