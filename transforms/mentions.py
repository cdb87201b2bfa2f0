"""Mentions of keywords per window: the columnar batch that crosses the shuffle, and what is done with it.

One element per word would spend most of the time in the runner's state and timers. So a bundle's posts are counted
first, and what leaves the bundle is one packed ``MentionBatch`` per window and shard, a shard being a few per cent of
the vocabulary by a stable hash. Every shard gets a batch of every window, even an empty one: it carries the number of
posts, so that each shard knows the platform's total without a join.

Batches merge associatively and commutatively: counts add up, and of each keyword's posts the ``MAX_SAMPLES`` with the
most engagement are kept. How posts were cut into bundles leaves no trace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress, islice
from typing import NamedTuple

import apache_beam as beam
import msgspec
import numpy as np
import numpy.typing as npt
from apache_beam.metrics.metric import Metrics
from apache_beam.runners.worker.statecache import CacheAware
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from detection.baselines import keyword_hashes
from transforms.packing import register
from transforms.posts import CountedPost
from transforms.text import keywords_of_piece, pieces, plain_keyword

MAX_SAMPLES = 3
"""Posts kept as examples of a keyword in a window."""

DEFAULT_SHARDS = 32

MAX_STRINGS = 1 << 19
"""Different pieces and keywords that a worker remembers, at some 150 bytes each; when there are more it forgets them all,
between two bundles."""

_MAX_ENGAGEMENT = 2**32 - 1


@dataclass(frozen=True, eq=False)
class MentionBatch(CacheAware):
    """Mentions in one window of the keywords of one shard, over some of the window's posts.

    Attributes:
        window_start: start of the window, epoch seconds.
        posts: posts counted, whether or not they mention a keyword of this shard.
        keywords: distinct keywords; length n.
        mentions: posts that mention each, int64[n].
        sample_counts: sample posts of each keyword, 1 to ``MAX_SAMPLES``, uint8[n]; their sum is m.
        sample_ids: ids of the sample posts, keyword by keyword, most engagement first, int64[m].
        sample_engagement: engagement of each sample post, capped at 2^32 - 1, int64[m].
    """

    window_start: int
    posts: int
    keywords: tuple[str, ...]
    mentions: npt.NDArray[np.int64]
    sample_counts: npt.NDArray[np.uint8]
    sample_ids: npt.NDArray[np.int64]
    sample_engagement: npt.NDArray[np.int64]

    def samples(self) -> list[list[int]]:
        """Return the ids of each keyword's sample posts, most engagement first."""
        ends = np.cumsum(self.sample_counts)[:-1]
        return [part.tolist() for part in np.split(self.sample_ids, ends)] if len(self.keywords) else []

    def __sizeof__(self) -> int:
        """Return about how many bytes of memory it takes, for Beam's cache of state."""
        return 400 + 96 * len(self.keywords) + 16 * len(self.sample_ids)

    def get_referents_for_cache(self) -> list[object]:
        """Keep Beam from measuring the keywords one by one: they are in the size above."""
        return []

    def to_bytes(self) -> bytes:
        """Pack for the wire: about 25 bytes and the word itself for a keyword that is mentioned once."""
        return msgspec.msgpack.encode(
            (
                self.window_start,
                self.posts,
                "\n".join(self.keywords),  # a keyword holds no white space
                self.mentions.astype("<u4").tobytes(),
                self.sample_counts.tobytes(),
                self.sample_ids.astype("<i8").tobytes(),
                self.sample_engagement.astype("<u4").tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> MentionBatch:
        """Unpack what ``to_bytes`` packed."""
        window_start, posts, keywords, mentions, counts, ids, engagement = _unpack(data)
        return cls(
            window_start,
            posts,
            tuple(keywords.split("\n")) if keywords else (),
            np.frombuffer(mentions, "<u4").astype(np.int64),
            np.frombuffer(counts, np.uint8),
            np.frombuffer(ids, "<i8"),
            np.frombuffer(engagement, "<u4").astype(np.int64),
        )


_unpack = msgspec.msgpack.Decoder(tuple[int, int, str, bytes, bytes, bytes, bytes]).decode


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
        engagement = np.minimum(engagement, _MAX_ENGAGEMENT)
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

    def __init__(self, keyword: npt.NDArray[np.int64], post: npt.NDArray[np.int64], ranking: _Ranking) -> None:
        # One integer per mention sorts by keyword, then by the post's place, many times faster than lexsort.
        bits = len(ranking.ids).bit_length()
        repeated = np.sort(keyword << bits | ranking.place[post])
        keys = repeated[np.diff(repeated, prepend=-1) > 0]
        self.keyword, self._place = keys >> bits, keys & ((1 << bits) - 1)
        self._ranking = ranking

    def samples(self) -> _Samples:
        """Choose each keyword's posts with the most engagement."""
        keyword, place, ids = self.keyword, self._place, self._ranking.ids
        if self._ranking.has_copies:
            of_post = ids[place]
            new = (np.diff(keyword, prepend=-1) > 0) | (np.diff(of_post, prepend=-1) != 0)
            keyword, place = keyword[new], place[new]
        first = np.flatnonzero(np.diff(keyword, prepend=-1))
        kept = np.minimum(np.diff(first, append=len(keyword)), MAX_SAMPLES)
        row = np.repeat(first - (np.cumsum(kept) - kept), kept) + np.arange(kept.sum())
        return _Samples(keyword[row], ids[place[row]], self._ranking.engagement[place[row]])


class _Samples(NamedTuple):
    """Sample posts of keywords, keyword by keyword, most engagement first."""

    keyword: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    engagement: npt.NDArray[np.int64]


def _batch(
    window_start: int,
    posts: int,
    keywords: Sequence[str],
    mentions: npt.NDArray[np.int64],
    samples: _Samples,
) -> MentionBatch:
    counts = np.bincount(samples.keyword, minlength=len(keywords)).astype(np.uint8)
    return MentionBatch(window_start, posts, tuple(keywords), mentions, counts, samples.ids, samples.engagement)


class _Vocabulary(defaultdict[str, int]):
    """Numbers words in the order of their first appearance; the look-up runs in C."""

    def __init__(self) -> None:
        super().__init__()
        self.default_factory = self.__len__


class _Lexicon:
    """What the pieces of texts stand for, by number: asked once per piece, not at each mention, nor in each bundle.

    Pieces and keywords are numbered together, for most keywords are pieces as well.

    Args:
        shards: number of shards.

    Attributes:
        numbers: number of each piece and keyword.
        strings: pieces and keywords, by number.
        shard: shard of each, were it a keyword.
    """

    def __init__(self, shards: int) -> None:
        self._shards = np.uint64(shards)
        self.numbers = _Vocabulary()
        self.strings: list[str] = []
        self.shard: npt.NDArray[np.int64] = np.empty(0, np.int64)
        # Piece i stands for so many keywords, from that place of the row on.
        self._counts: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._starts: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._row: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def stand_for(self, piece: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return for each keyword that the pieces stand for its number, and the index of its piece in the argument."""
        self._learn()
        counts = self._counts[piece]
        index = np.flatnonzero(counts)
        keyword = self._row[self._starts[piece[index]]]
        # Few pieces stand for several keywords: the others have been seen to.
        several = np.flatnonzero(counts > 1)
        if not len(several):
            return keyword, index
        more = counts[several] - 1
        nth = np.arange(1, more.sum() + 1) - np.repeat(np.cumsum(more) - more, more)
        again = np.repeat(several, more)
        return np.append(keyword, self._row[self._starts[piece[again]] + nth]), np.append(index, again)

    def _learn(self) -> None:
        """Look at the pieces that are new."""
        numbers, row, counts = self.numbers, list[int](), list[int]()
        new = list(islice(numbers, len(self._counts), None))
        if not new:
            return
        for piece in new:
            plain = plain_keyword(piece)
            if plain is None:
                keywords = keywords_of_piece(piece)
                row += map(numbers.__getitem__, keywords)
                counts.append(len(keywords))
            elif plain:
                row.append(numbers[plain])
                counts.append(1)
            else:
                counts.append(0)
        new_counts = np.array(counts, np.int64)
        self._starts = np.append(self._starts, len(self._row) + np.cumsum(new_counts) - new_counts)
        self._counts = np.append(self._counts, new_counts)
        self._row = np.append(self._row, np.array(row, np.int64))
        # Keywords that have not been pieces yet are among them; should they come as such, they are looked at then.
        strings = list(islice(numbers, len(self.strings), None))
        self.strings += strings
        self.shard = np.append(self.shard, (keyword_hashes(strings) % self._shards).astype(np.int64))


class MentionCounter:
    """Counts posts into one ``MentionBatch`` per window and shard.

    Args:
        shards: number of shards; a keyword's is its hash, modulo their number.
    """

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._lexicon = _Lexicon(shards)
        self._windows: defaultdict[int, _OpenWindow] = defaultdict(_OpenWindow)

    def add(self, posts: Sequence[CountedPost]) -> None:
        """Count some posts, each in the window of its ``time_stamp``."""
        starts = [post.window_start for post in posts]
        for start in set(starts):
            some = posts if starts.count(start) == len(posts) else list(compress(posts, map(start.__eq__, starts)))
            self._windows[start].add(some, self._lexicon.numbers)

    def drain(self) -> Iterator[list[MentionBatch]]:
        """Yield what was counted, for each window the batches of its shards, empty ones too; and start afresh."""
        for start, window in self._windows.items():
            yield window.close(start, self._lexicon, self._shards)
        self._windows.clear()
        if len(self._lexicon.numbers) > MAX_STRINGS:
            self._lexicon = _Lexicon(self._shards)


class _OpenWindow:
    def __init__(self) -> None:
        self._piece: list[npt.NDArray[np.int64]] = []
        self._pieces_per_post: list[int] = []
        self._post_ids: list[int] = []
        self._engagement: list[int] = []

    def add(self, posts: Sequence[CountedPost], numbers: _Vocabulary) -> None:
        split = [pieces(post.item.text or "") for post in posts]
        lengths = list(map(len, split))
        self._pieces_per_post += lengths
        numbered = map(numbers.__getitem__, chain.from_iterable(split))
        self._piece.append(np.fromiter(numbered, np.int64, sum(lengths)))
        self._post_ids += [post.post_id for post in posts]
        self._engagement += [post.engagement for post in posts]

    def close(self, window_start: int, lexicon: _Lexicon, shards: int) -> list[MentionBatch]:
        number, index = lexicon.stand_for(np.concatenate(self._piece))
        post = np.repeat(np.arange(len(self._pieces_per_post)), self._pieces_per_post)[index]
        # By way of floats, which hold any number and are exact up to the cap.
        engagement = np.clip(np.array(self._engagement, np.float64), 0, _MAX_ENGAGEMENT).astype(np.int64)
        ranking = _Ranking(np.array(self._post_ids, np.int64), engagement)
        # The window's own keywords, in the order of their shards.
        used = np.flatnonzero(np.bincount(number, minlength=len(lexicon.strings)))
        used = used[np.argsort(lexicon.shard[used], kind="stable")]
        row = np.empty(len(lexicon.strings), np.int64)
        row[used] = np.arange(len(used))
        mentions = _Mentions(row[number], post, ranking)
        keywords = [lexicon.strings[i] for i in used.tolist()]
        whole = _batch(window_start, len(self._post_ids), keywords, np.bincount(mentions.keyword), mentions.samples())
        return _cut(whole, np.bincount(lexicon.shard[used], minlength=shards))


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
    vocabulary = _Vocabulary()
    words = chain.from_iterable(batch.keywords for batch in batches)
    keyword = np.fromiter(map(vocabulary.__getitem__, words), np.int64)
    mentions = np.zeros(len(vocabulary), np.int64)
    np.add.at(mentions, keyword, np.concatenate([batch.mentions for batch in batches]))
    sample_ids = np.concatenate([batch.sample_ids for batch in batches])
    samples = _Mentions(
        np.repeat(keyword, np.concatenate([batch.sample_counts for batch in batches])),
        np.arange(len(sample_ids)),
        _Ranking(sample_ids, np.concatenate([batch.sample_engagement for batch in batches])),
    ).samples()
    posts = sum(batch.posts for batch in batches)
    return _batch(batches[0].window_start, posts, list(vocabulary), mentions, samples)


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

    def process(self, element: list[CountedPost]) -> None:
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
    """``list[CountedPost]`` → ``(shard, MentionBatch)``, one per window and shard of each bundle.

    The elements carry the start of their window as timestamp and are still in the global window: ``WindowMentions``
    follows.

    Attributes:
        shards: number of shards.
    """

    shards: int = DEFAULT_SHARDS

    def expand(self, posts: beam.PCollection[list[CountedPost]]) -> beam.PCollection[tuple[int, MentionBatch]]:
        """Count the posts of each bundle."""
        return posts | "Count" >> beam.ParDo(_CountMentionsFn(self.shards)).with_output_types(tuple[int, MentionBatch])
