"""Ids of posts. Here rather than with the decoding, for the feed asks too, and does without Beam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MAX_POST_ID: Final = 2**63 - 1
_DIGITS: Final = len(str(MAX_POST_ID))


def is_post_id(text: str) -> bool:
    """Tell whether a text is a positive 63-bit number in decimal digits.

    >>> is_post_id("6859430216"), is_post_id("0"), is_post_id("٧")
    (True, False, False)
    """
    # isdecimal() alone would let other scripts' digits through; int() would then take them, but SQL readers would not.
    return len(text) <= _DIGITS and text.isascii() and text.isdecimal() and 0 < int(text) <= MAX_POST_ID


class BadIdError(ValueError):
    """A text that is no id of a post."""


def post_ids(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return ids as numbers, int64[n].

    Raises:
        BadIdError: ``is_post_id`` does not hold for all of them.
    """
    array = pa.array(texts, pa.string())
    digits = pc.and_(pc.ascii_is_decimal(array), pc.less_equal(pc.binary_length(array), _DIGITS))
    if not pc.all(digits, min_count=0).as_py():
        raise BadIdError
    try:
        numbers: npt.NDArray[np.int64] = array.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise BadIdError from error  # beyond 63 bits
    if not (numbers > 0).all():
        raise BadIdError
    return numbers
