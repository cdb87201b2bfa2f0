"""Posts on their way to be counted, in columns: from here on nothing is done post by post."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detection.counts import WINDOW_SECONDS
from transforms.packing import register
from transforms.post_id import MAX_DIGITS
from transforms.posts import CountedPost
from transforms.text import MAX_TEXT

MAX_ENGAGEMENT: Final = 2**32 - 1
"""More is noise, and would not fit the packed batch."""


class BadIdError(ValueError):
    """A text that is no id of a post."""


def _post_ids(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return ids as numbers, int64[n].

    Raises:
        BadIdError: ``is_post_id`` does not hold for all of them.
    """
    array = pa.array(texts, pa.string())
    digits = pc.and_(pc.ascii_is_decimal(array), pc.less_equal(pc.binary_length(array), MAX_DIGITS))
    if not pc.all(digits, min_count=0).as_py():
        raise BadIdError
    try:
        numbers: npt.NDArray[np.int64] = array.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise BadIdError from error  # beyond 63 bits
    if not (numbers > 0).all():
        raise BadIdError
    return numbers


@dataclass(frozen=True, slots=True, eq=False)
class CountedPosts:
    """What counting needs of n posts.

    Attributes:
        ids: id of each, int64[n].
        window_starts: start of the window that each falls in, epoch seconds, int64[n].
        engagement: of each, held within 0 and ``MAX_ENGAGEMENT``, int64[n].
        texts: text of each, as far as it is looked at; empty if it has none; [n].
    """

    ids: npt.NDArray[np.int64]
    window_starts: npt.NDArray[np.int64]
    engagement: npt.NDArray[np.int64]
    texts: pa.StringArray

    @classmethod
    def of(cls, posts: Sequence[CountedPost]) -> CountedPosts:
        """Put decoded posts into columns.

        Raises:
            BadIdError: an id is none.
        """
        seconds = np.array([post.time_stamp for post in posts], np.float64).astype(np.int64)
        # By way of floats, which hold any sum and are exact up to the cap.
        engagement = np.array([post.engagement for post in posts], np.float64)
        return cls(
            _post_ids([post.item.id for post in posts]),
            seconds - seconds % WINDOW_SECONDS,
            np.clip(engagement, 0, MAX_ENGAGEMENT).astype(np.int64),
            pa.array([(post.item.text or "")[:MAX_TEXT] for post in posts], pa.string()),
        )

    def __len__(self) -> int:
        """Return the number of posts."""
        return len(self.ids)

    def to_bytes(self) -> bytes:
        """Pack for the wire; counting follows in the same process, where none is packed."""
        numbers = (column.astype("<i8").tobytes() for column in (self.ids, self.window_starts, self.engagement))
        return msgspec.msgpack.encode((*numbers, self.texts.to_pylist()))

    @classmethod
    def from_bytes(cls, data: bytes) -> CountedPosts:
        """Unpack what ``to_bytes`` packed."""
        *numbers, texts = _unpack(data)
        ids, window_starts, engagement = (np.frombuffer(column, "<i8") for column in numbers)
        return cls(ids, window_starts, engagement, pa.array(texts, pa.string()))

    def packed_size(self) -> int:
        """Return about how many bytes it packs to."""
        return 24 * len(self) + int(self.texts.nbytes)


_unpack = msgspec.msgpack.Decoder(tuple[bytes, bytes, bytes, list[str]]).decode
register(CountedPosts)
