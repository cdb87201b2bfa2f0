"""The memory of counting: which keywords the pieces of texts stand for.

What a piece stands for is asked once, not at each mention, nor in each bundle. Arrow finds out which pieces of many texts
are different and which are new, without an object for any of them.
"""

from __future__ import annotations

from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detection.baselines import keyword_hashes
from transforms.text import MAX_KEYWORD, STOP_WORDS, keywords_of_piece

_NO_KEYWORD: Final = -1
_SEVERAL_KEYWORDS: Final = -2
_NEVER_A_PIECE: Final = np.iinfo(np.int32).min

_ASCII_STOP_WORDS: Final = pa.array(sorted(filter(str.isascii, STOP_WORDS)), pa.string())


def plain_keywords(pieces: pa.StringArray) -> pa.StringArray:
    """Return the keyword that each plain piece stands for, "" if it stands for none; null where a piece is not plain.

    Plain are words and hashtags of ASCII letters and digits: most pieces, and told together in a twentieth of the time.

    >>> plain_keywords(pa.array(["#Dance", "the", "Dance,"])).to_pylist()
    ['dance', '', None]
    """
    lower = pc.ascii_lower(pieces)
    is_tag = pc.starts_with(lower, "#")
    word = pc.if_else(is_tag, pc.binary_replace_slice(lower, 0, 1, ""), lower)
    length = pc.binary_length(word)
    is_noise = pc.or_(pc.or_(pc.ascii_is_decimal(word), pc.less(length, 2)), pc.greater(length, MAX_KEYWORD))
    is_stop_word = pc.and_not(pc.is_in(word, _ASCII_STOP_WORDS), is_tag)
    keyword = pc.if_else(pc.or_(is_noise, is_stop_word), "", word)
    return pc.if_else(pc.ascii_is_alnum(word), keyword, None)


class Lexicon:
    """What the pieces of texts stand for, by number.

    A piece is what stands between two spaces. Other white space in a piece parts its keywords like any other sign.

    Pieces and keywords are numbered together, for most keywords are pieces as well.

    Args:
        shards: number of shards.

    Attributes:
        strings: pieces and keywords, by number.
        shard: shard of each, were it a keyword.
    """

    def __init__(self, shards: int) -> None:
        self._shards = np.uint64(shards)
        self.strings: pa.StringArray = pa.array([], pa.string())
        self.shard: npt.NDArray[np.unsignedinteger] = np.empty(0, np.min_scalar_type(shards - 1))
        # By number of a piece: the number of its one keyword, or _NO_KEYWORD, or _SEVERAL_KEYWORDS less the number of a set.
        self._keyword: npt.NDArray[np.int32] = np.empty(0, np.int32)
        # Sets of keywords: set i begins at that place of the members, and ends where the next begins.
        self._sets: npt.NDArray[np.int32] = np.zeros(1, np.int32)
        self._members: npt.NDArray[np.int32] = np.empty(0, np.int32)

    @property
    def nbytes(self) -> int:
        """Memory that it takes, bytes."""
        columns = self.shard, self._keyword, self._sets, self._members
        return int(self.strings.nbytes) + sum(column.nbytes for column in columns)

    def keywords_in(self, texts: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return for each keyword in each text its number, and the index of its text; some come twice."""
        pieces = pc.split_pattern(texts, " ")
        different = pieces.values.dictionary_encode()
        number = self._numbers(different.dictionary)
        self._learn(number)
        keyword = self._keyword[number][different.indices.to_numpy()]
        text = np.repeat(np.arange(len(texts), dtype=np.int32), pieces.value_lengths().to_numpy())
        one = np.flatnonzero(keyword >= 0)
        several = np.flatnonzero(keyword <= _SEVERAL_KEYWORDS)
        if not len(several):
            return keyword[one], text[one]
        of_set = _SEVERAL_KEYWORDS - keyword[several]
        begin, size = self._sets[of_set], self._sets[of_set + 1] - self._sets[of_set]
        nth = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        members = self._members[np.repeat(begin, size) + nth]
        return np.append(keyword[one], members), np.append(text[one], np.repeat(text[several], size))

    def _numbers(self, strings: pa.StringArray) -> npt.NDArray[np.int32]:
        """Return the number of each of different strings; those that have none get one."""
        number = np.full(len(strings), -1, np.int32)
        # What is remembered is looked for in the strings, not they in it: Arrow makes a table of what it searches.
        found = pc.index_in(self.strings, value_set=strings).fill_null(-1).to_numpy()
        known = np.flatnonzero(found >= 0)
        number[found[known]] = known
        is_new = number < 0
        if is_new.any():
            number[is_new] = np.arange(len(self.strings), len(self.strings) + is_new.sum())
            new = strings.filter(is_new)
            self.strings = pa.concat_arrays([self.strings, new])
            hashes = keyword_hashes(new.to_numpy(zero_copy_only=False))
            self.shard = np.append(self.shard, (hashes % self._shards).astype(self.shard.dtype))
            self._keyword = np.append(self._keyword, np.full(len(new), _NEVER_A_PIECE, np.int32))
        return number

    def _learn(self, number: npt.NDArray[np.int32]) -> None:
        """Look at the pieces with these numbers that have not been looked at."""
        number = number[self._keyword[number] == _NEVER_A_PIECE]
        if not len(number):
            return
        pieces = self.strings.take(pa.array(number))
        keyword = number.copy()
        plain = plain_keywords(pieces)
        keyword[np.asarray(pc.equal(plain, "").fill_null(False))] = _NO_KEYWORD
        other = np.flatnonzero(pc.and_(pc.not_equal(plain, pieces), pc.not_equal(plain, "")).fill_null(False))
        odd = np.flatnonzero(plain.is_null())
        found = list(map(keywords_of_piece, pieces.take(odd).to_numpy(zero_copy_only=False)))
        mentioned = pa.concat_arrays([plain.take(other), pa.array(chain.from_iterable(found), pa.string())])
        different = mentioned.dictionary_encode()
        numbers = self._numbers(different.dictionary)[different.indices.to_numpy()]
        keyword[other], members = numbers[: len(other)], numbers[len(other) :]
        sizes = np.fromiter(map(len, found), np.int32, len(found))
        keyword[odd[sizes == 0]] = _NO_KEYWORD
        keyword[odd[sizes == 1]] = members[np.repeat(sizes == 1, sizes)]
        several = sizes > 1
        keyword[odd[several]] = _SEVERAL_KEYWORDS - (len(self._sets) - 1 + np.arange(several.sum()))
        self._sets = np.append(self._sets, self._sets[-1] + np.cumsum(sizes[several], dtype=np.int32))
        self._members = np.append(self._members, members[np.repeat(several, sizes)])
        self._keyword[number] = keyword
