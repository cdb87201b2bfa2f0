"""Mentions of keywords per window: the columnar batch that crosses the shuffle, and what is done with it.

One element per word would spend most of the time in the runner's state and timers. So a bundle's posts are counted
first, and what leaves the bundle is one packed ``MentionBatch`` per window and shard, a shard being a few per cent of
the vocabulary by a stable hash. Every shard gets a batch of every window, even an empty one: it carries the number of
posts, so that each shard knows the platform's total without a join.

Batches merge associatively and commutatively: counts add up, and of each keyword's posts the ``MAX_SAMPLES`` with the
most engagement are kept. How posts were cut into bundles leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import apache_beam as beam
import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.metrics.metric import Metrics
from apache_beam.runners.worker.statecache import CacheAware
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from transforms.counted_posts import CountedPosts
from transforms.lexicon import Lexicon
from transforms.packing import register

MAX_SAMPLES = 3
"""Posts kept as examples of a keyword in a window."""

DEFAULT_SHARDS = 32

MAX_REMEMBERED_BYTES = 40 << 20
"""What a worker remembers of pieces and keywords, most often some 20 bytes of each; when it is more, all is forgotten between
two bundles."""

_TEXTS_AT_ONCE = 1 << 16
"""Texts that are numbered together: the more, the fewer pieces among them are different; some 10 MB of texts."""

_BYTES_AT_ONCE = 64 << 20
"""Bytes of texts that are numbered together, should they be long."""


@dataclass(frozen=True, eq=False)
class MentionBatch(CacheAware):
    """Mentions in one window of the keywords of one shard, over some of the window's posts.

    Attributes:
        window_start: start of the window, epoch seconds.
        posts: posts counted, whether or not they mention a keyword of this shard.
        keywords: distinct keywords, [n].
        mentions: posts that mention each, int64[n].
        sample_counts: sample posts of each keyword, 1 to ``MAX_SAMPLES``, uint8[n]; their sum is m.
        sample_ids: ids of the sample posts, keyword by keyword, most engagement first, int64[m].
        sample_engagement: engagement of each sample post, at most ``MAX_ENGAGEMENT``, int64[m].
    """

    window_start: int
    posts: int
    keywords: pa.StringArray
    mentions: npt.NDArray[np.int64]
    sample_counts: npt.NDArray[np.uint8]
    sample_ids: npt.NDArray[np.int64]
    sample_engagement: npt.NDArray[np.int64]

    def words(self) -> list[str]:
        """Return the keywords as Python's strings."""
        words: list[str] = self.keywords.to_numpy(zero_copy_only=False).tolist()  # several times faster than to_pylist
        return words

    def samples(self) -> list[list[int]]:
        """Return the ids of each keyword's sample posts, most engagement first."""
        ends = np.cumsum(self.sample_counts)[:-1]
        return [part.tolist() for part in np.split(self.sample_ids, ends)] if len(self.keywords) else []

    def __sizeof__(self) -> int:
        """Return about how many bytes of memory it takes, for Beam's cache of state."""
        return 400 + int(self.keywords.nbytes) + 9 * len(self.keywords) + 16 * len(self.sample_ids)

    def get_referents_for_cache(self) -> list[object]:
        """Keep Beam from measuring the keywords one by one: they are in the size above."""
        return []

    def to_bytes(self) -> bytes:
        """Pack for the wire: about 20 bytes and the word itself for a keyword that is mentioned once."""
        return msgspec.msgpack.encode(
            (
                self.window_start,
                self.posts,
                *_packed(self.keywords),
                self.mentions.astype("<u4").tobytes(),
                self.sample_counts.tobytes(),
                self.sample_ids.astype("<i8").tobytes(),
                self.sample_engagement.astype("<u4").tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> MentionBatch:
        """Unpack what ``to_bytes`` packed."""
        window_start, posts, lengths, letters, mentions, counts, ids, engagement = _unpack(data)
        return cls(
            window_start,
            posts,
            _unpacked(lengths, letters),
            np.frombuffer(mentions, "<u4").astype(np.int64),
            np.frombuffer(counts, np.uint8),
            np.frombuffer(ids, "<i8"),
            np.frombuffer(engagement, "<u4").astype(np.int64),
        )


_unpack = msgspec.msgpack.Decoder(tuple[int, int, bytes, bytes, bytes, bytes, bytes, bytes]).decode


def _packed(strings: pa.StringArray) -> tuple[bytes, bytes]:
    """Return the lengths of strings in bytes, and all their bytes; a keyword has less than 2^16."""
    _, ends, letters = strings.buffers()
    if not len(strings):
        return b"", b""
    ends = np.frombuffer(ends, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    return np.diff(ends).astype("<u2").tobytes(), letters[ends[0] : ends[-1]].to_pybytes()


def _unpacked(lengths: bytes, letters: bytes) -> pa.StringArray:
    ends = np.cumsum(np.frombuffer(lengths, "<u2"), dtype=np.int32)
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(np.append(np.int32(0), ends)), pa.py_buffer(letters))


register(MentionBatch)


class _Ranking:
    """Posts by their worth as examples: the most engagement first, of equals the smaller id.

    Args:
        ids: id of each post; a post that came twice may stand here twice, [p].
        engagement: of each post, [p].

    Attributes:
        place: place of each post, from 0; each has its own, a post's copies stand side by side, [p].
        ids: ids in the order of the places, [p].
        engagement: in the order of the places, the most of a post's copies, [p].
        has_copies: whether any post came twice.
    """

    def __init__(self, ids: npt.NDArray[np.int64], engagement: npt.NDArray[np.int64]) -> None:
        unique, copies_of = np.unique(ids, return_inverse=True)
        self.has_copies = len(unique) < len(ids)
        if self.has_copies:
            most = np.zeros(len(unique), np.int64)
            np.maximum.at(most, copies_of, engagement)
            engagement = most[copies_of]
        order = np.lexsort((ids, -engagement))
        self.place = np.empty(len(ids), np.int64)
        self.place[order] = np.arange(len(ids))
        self.ids, self.engagement = ids[order], engagement[order]


class _Mentions:
    """Which keyword is mentioned by which post, each pair once, in one flat table that is sorted by keyword and place.

    Args:
        keyword: index of each mention's keyword; repeated pairs may occur, [m].
        post: index of each mention's post, [m].
        ranking: of the posts.
    """

    def __init__(self, keyword: npt.NDArray[np.integer], post: npt.NDArray[np.integer], ranking: _Ranking) -> None:
        # One integer per mention sorts by keyword, then by the post's place, many times faster than lexsort.
        bits = len(ranking.ids).bit_length()
        keys = keyword.astype(np.int64)
        keys <<= bits
        keys |= ranking.place[post]
        keys.sort()
        keys = keys[_differs(keys)]
        self.keyword, self._place = keys >> bits, keys & ((1 << bits) - 1)
        self._ranking = ranking

    def samples(self) -> _Samples:
        """Choose each keyword's posts with the most engagement."""
        keyword, place, ids = self.keyword, self._place, self._ranking.ids
        if self._ranking.has_copies:
            new = _differs(keyword) | _differs(ids[place])
            keyword, place = keyword[new], place[new]
        first = np.flatnonzero(_differs(keyword))
        kept = np.minimum(np.diff(first, append=len(keyword)), MAX_SAMPLES)
        row = np.repeat(first - (np.cumsum(kept) - kept), kept) + np.arange(kept.sum())
        return _Samples(keyword[row], ids[place[row]], self._ranking.engagement[place[row]])


def _differs(values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell of each value whether it differs from the one before; the first does."""
    differs = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=differs[1:])
    return differs


class _Samples(NamedTuple):
    """Sample posts of keywords, keyword by keyword, most engagement first."""

    keyword: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    engagement: npt.NDArray[np.int64]


def _batch(
    window_start: int,
    posts: int,
    keywords: pa.StringArray,
    mentions: npt.NDArray[np.int64],
    samples: _Samples,
) -> MentionBatch:
    counts = np.bincount(samples.keyword, minlength=len(keywords)).astype(np.uint8)
    return MentionBatch(window_start, posts, keywords, mentions, counts, samples.ids, samples.engagement)


class MentionCounter:
    """Counts posts into one ``MentionBatch`` per window and shard.

    Args:
        shards: number of shards; a keyword's is its hash, modulo their number.
    """

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._lexicon = Lexicon(shards)
        self._start_afresh()

    def add(self, posts: CountedPosts) -> None:
        """Count some posts, each in its window."""
        self._ids.append(posts.ids)
        self._window_starts.append(posts.window_starts)
        self._engagement.append(posts.engagement)
        self._texts.append(posts.texts)
        if sum(map(len, self._texts)) >= _TEXTS_AT_ONCE or sum(texts.nbytes for texts in self._texts) >= _BYTES_AT_ONCE:
            self._read_texts()

    def drain(self) -> Iterator[list[MentionBatch]]:
        """Yield what was counted, for each window the batches of its shards, empty ones too; and start afresh."""
        if not self._ids:
            return
        if self._texts:
            self._read_texts()
        starts, ids, engagement = map(np.concatenate, (self._window_starts, self._ids, self._engagement))
        keyword, post = np.concatenate(self._keyword), np.concatenate(self._post)
        for start in np.unique(starts).tolist():
            rows = np.flatnonzero(starts == start)
            if len(rows) == len(starts):
                yield self._count(start, _Ranking(ids, engagement), keyword, post)
            else:
                row = np.full(len(starts), -1, np.int32)
                row[rows] = np.arange(len(rows))
                inside = np.flatnonzero(row[post] >= 0)
                yield self._count(start, _Ranking(ids[rows], engagement[rows]), keyword[inside], row[post[inside]])
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._ids: list[npt.NDArray[np.int64]] = []
        self._window_starts: list[npt.NDArray[np.int64]] = []
        self._engagement: list[npt.NDArray[np.int64]] = []
        # Texts that are still to be read; of those that were, the keyword and the post of each mention, as numbers.
        self._texts: list[pa.StringArray] = []
        self._read = 0
        self._keyword: list[npt.NDArray[np.int32]] = []
        self._post: list[npt.NDArray[np.int32]] = []
        if self._lexicon.nbytes > MAX_REMEMBERED_BYTES:
            self._lexicon = Lexicon(self._shards)

    def _read_texts(self) -> None:
        texts = pa.concat_arrays(self._texts)
        self._texts.clear()
        keyword, text = self._lexicon.keywords_in(texts)
        self._keyword.append(keyword)
        self._post.append(text + np.int32(self._read))
        self._read += len(texts)

    def _count(
        self, start: int, ranking: _Ranking, number: npt.NDArray[np.int32], post: npt.NDArray[np.int32]
    ) -> list[MentionBatch]:
        """Count one window, of whose mentions the keywords and posts are given."""
        lexicon = self._lexicon
        # The window's own keywords, in the order of their shards.
        used = np.flatnonzero(np.bincount(number, minlength=len(lexicon.strings)))
        used = used[np.argsort(lexicon.shard[used], kind="stable")]
        row = np.empty(len(lexicon.strings), np.int32)
        row[used] = np.arange(len(used))
        mentions = _Mentions(row[number], post, ranking)
        keywords = lexicon.strings.take(pa.array(used))
        whole = _batch(start, len(ranking.ids), keywords, np.bincount(mentions.keyword), mentions.samples())
        return _cut(whole, np.bincount(lexicon.shard[used], minlength=self._shards))


def merge_mentions(batches: Sequence[MentionBatch]) -> MentionBatch:
    """Merge batches of one window and shard; neither their order nor their grouping matters.

    Raises:
        ValueError: no batch, or batches of different windows.
    """
    if len({batch.window_start for batch in batches}) != 1:
        msg = "only batches of one window can be merged"
        raise ValueError(msg)
    if len(batches) == 1:
        return batches[0]
    words = pa.concat_arrays([batch.keywords for batch in batches]).dictionary_encode()
    keyword, keywords = words.indices.to_numpy(), words.dictionary
    mentions = np.zeros(len(keywords), np.int64)
    np.add.at(mentions, keyword, np.concatenate([batch.mentions for batch in batches]))
    sample_ids = np.concatenate([batch.sample_ids for batch in batches])
    samples = _Mentions(
        np.repeat(keyword, np.concatenate([batch.sample_counts for batch in batches])),
        np.arange(len(sample_ids)),
        _Ranking(sample_ids, np.concatenate([batch.sample_engagement for batch in batches])),
    ).samples()
    posts = sum(batch.posts for batch in batches)
    return _batch(batches[0].window_start, posts, keywords, mentions, samples)


def _cut(batch: MentionBatch, lengths: npt.NDArray[np.int64]) -> list[MentionBatch]:
    """Cut a batch into batches of so many keywords each."""
    ends = np.cumsum(lengths)
    sample_ends = np.append(0, np.cumsum(batch.sample_counts, dtype=np.int64))[ends]
    parts = []
    start = sample_start = 0
    for end, sample_end in zip(ends.tolist(), sample_ends.tolist(), strict=True):
        parts.append(
            MentionBatch(
                batch.window_start,
                batch.posts,
                batch.keywords[start:end],
                batch.mentions[start:end],
                batch.sample_counts[start:end],
                batch.sample_ids[sample_start:sample_end],
                batch.sample_engagement[sample_start:sample_end],
            )
        )
        start, sample_start = end, sample_end
    return parts


class _CountMentionsFn(beam.DoFn):
    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._posts = Metrics.counter("CountMentions", "posts")
        self._mentions = Metrics.counter("CountMentions", "mentions")
        self._batches = Metrics.counter("CountMentions", "batches")

    def setup(self) -> None:
        self._counter = MentionCounter(self._shards)

    def process(self, element: CountedPosts) -> None:
        self._counter.add(element)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for shards in self._counter.drain():
            self._posts.inc(shards[0].posts)
            self._mentions.inc(sum(int(batch.mentions.sum()) for batch in shards))
            self._batches.inc(len(shards))
            timestamp = Timestamp(shards[0].window_start)
            for keyed in enumerate(shards):
                yield WindowedValue(keyed, timestamp, (GlobalWindow(),))


@dataclass
class CountMentions(beam.PTransform):
    """``CountedPosts`` → ``(shard, MentionBatch)``, one per window and shard of each bundle.

    The elements carry the start of their window as timestamp and are still in the global window: ``WindowMentions``
    follows.

    Attributes:
        shards: number of shards.
    """

    shards: int = DEFAULT_SHARDS

    def expand(self, posts: beam.PCollection[CountedPosts]) -> beam.PCollection[tuple[int, MentionBatch]]:
        """Count the posts of each bundle."""
        return posts | "Count" >> beam.ParDo(_CountMentionsFn(self.shards)).with_output_types(tuple[int, MentionBatch])
