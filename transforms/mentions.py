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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from typing import NamedTuple

import apache_beam as beam
import msgspec
import numpy as np
import numpy.typing as npt
from apache_beam.metrics.metric import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from detection.baselines import keyword_hashes
from transforms.packing import register
from transforms.posts import CountedPost
from transforms.text import keywords_of_piece, pieces

MAX_SAMPLES = 3
"""Posts kept as examples of a keyword in a window."""

DEFAULT_SHARDS = 32

_MAX_ENGAGEMENT = 2**32 - 1


@dataclass(frozen=True, slots=True, eq=False)
class MentionBatch:
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
    """

    def __init__(self, ids: npt.NDArray[np.int64], engagement: npt.NDArray[np.int64]) -> None:
        engagement = np.minimum(engagement, _MAX_ENGAGEMENT)
        unique, copies_of = np.unique(ids, return_inverse=True)
        if len(unique) < len(ids):
            most = np.zeros(len(unique), np.int64)
            np.maximum.at(most, copies_of, engagement)
            engagement = most[copies_of]
        order = np.lexsort((ids, -engagement))
        self.place = np.empty(len(ids), np.int64)
        self.place[order] = np.arange(len(ids))
        self.ids, self.engagement = ids[order], engagement[order]

    def __len__(self) -> int:
        return len(self.ids)


class _Mentions:
    """Which keyword is mentioned by which post, each pair once, in one flat table that is sorted by keyword and place.

    Args:
        keyword: index of each mention's keyword; repeated pairs may occur, [m].
        post: index of each mention's post, [m].
        ranking: of the posts.
    """

    def __init__(self, keyword: npt.NDArray[np.int64], post: npt.NDArray[np.int64], ranking: _Ranking) -> None:
        # One integer per mention sorts by keyword, then by the post's place, many times faster than lexsort.
        keys = np.sort(keyword * len(ranking) + ranking.place[post])
        self.keyword, self.place = np.divmod(keys[np.diff(keys, prepend=-1) > 0], max(len(ranking), 1))
        self._ranking = ranking

    def samples(self) -> _Samples:
        """Choose each keyword's posts with the most engagement."""
        ids = self._ranking.ids[self.place]
        new = (np.diff(self.keyword, prepend=-1) > 0) | (np.diff(ids, prepend=-1) != 0)
        keyword, place = self.keyword[new], self.place[new]
        first = np.flatnonzero(np.diff(keyword, prepend=-1))
        kept = np.arange(len(keyword)) - np.repeat(first, np.diff(first, append=len(keyword))) < MAX_SAMPLES
        place = place[kept]
        return _Samples(keyword[kept], self._ranking.ids[place], self._ranking.engagement[place])


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


class _Texts:
    """The texts of some posts as numbers of their pieces: what a piece stands for is asked once, not at each mention."""

    def __init__(self) -> None:
        self._pieces = _Vocabulary()
        self._piece: list[npt.NDArray[np.int64]] = []
        self._pieces_per_post: list[int] = []

    def add(self, texts: Iterable[str]) -> None:
        """Take the texts of further posts."""
        split = list(map(pieces, texts))
        self._pieces_per_post.extend(map(len, split))
        self._piece.append(np.fromiter(map(self._pieces.__getitem__, chain.from_iterable(split)), np.int64))

    def mentions(self) -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the distinct keywords; and for each keyword that a piece stands for, indices of keyword and post, [m]."""
        vocabulary = _Vocabulary()
        meant = list(map(keywords_of_piece, self._pieces))
        # The keywords of all pieces in one row, those of piece i from starts[i] on.
        row = np.fromiter(map(vocabulary.__getitem__, chain.from_iterable(meant)), np.int64)
        lengths = np.fromiter(map(len, meant), np.int64, len(meant))
        starts = np.cumsum(lengths) - lengths
        piece = np.concatenate(self._piece)
        post = np.repeat(np.arange(len(self._pieces_per_post)), self._pieces_per_post)
        repeats = lengths[piece]
        before = np.cumsum(repeats) - repeats
        keyword = row[np.repeat(starts[piece] - before, repeats) + np.arange(repeats.sum())]
        return list(vocabulary), keyword, np.repeat(post, repeats)


class MentionCounter:
    """Counts posts into one ``MentionBatch`` per window."""

    def __init__(self) -> None:
        self._windows: defaultdict[int, _OpenWindow] = defaultdict(_OpenWindow)

    def add(self, posts: Sequence[CountedPost]) -> None:
        """Count some posts, each in the window of its ``time_stamp``."""
        starts = [post.window_start for post in posts]
        for start in set(starts):
            some = posts if starts.count(start) == len(posts) else list(compress(posts, map(start.__eq__, starts)))
            self._windows[start].add(some)

    def drain(self) -> list[MentionBatch]:
        """Return what was counted, a batch per window, and start afresh."""
        batches = [window.close(start) for start, window in self._windows.items()]
        self._windows.clear()
        return batches


class _OpenWindow:
    def __init__(self) -> None:
        self._texts = _Texts()
        self._post_ids: list[int] = []
        self._engagement: list[int] = []

    def add(self, posts: Sequence[CountedPost]) -> None:
        self._texts.add([post.item.text or "" for post in posts])
        self._post_ids.extend([post.post_id for post in posts])
        self._engagement.extend([min(max(post.engagement, 0), _MAX_ENGAGEMENT) for post in posts])

    def close(self, window_start: int) -> MentionBatch:
        keywords, keyword, post = self._texts.mentions()
        ranking = _Ranking(np.array(self._post_ids, np.int64), np.array(self._engagement, np.int64))
        mentions = _Mentions(keyword, post, ranking)
        counts = np.bincount(mentions.keyword, minlength=len(keywords))
        return _batch(window_start, len(self._post_ids), keywords, counts, mentions.samples())


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
    keyword = np.array([vocabulary[word] for batch in batches for word in batch.keywords], np.int64)
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


def split_by_shard(batch: MentionBatch, shards: int) -> Iterator[tuple[int, MentionBatch]]:
    """Split a batch by the hash of the keyword; yields every shard, an empty one too."""
    shard = (keyword_hashes(batch.keywords) % np.uint64(shards)).astype(np.int64)
    order = np.argsort(shard, kind="stable")
    ends = np.cumsum(np.bincount(shard, minlength=shards))
    sample_shard = np.repeat(shard, batch.sample_counts)
    sample_order = np.argsort(sample_shard, kind="stable")
    sample_ends = np.cumsum(np.bincount(sample_shard, minlength=shards))
    start = sample_start = 0
    for i in range(shards):
        rows, sample_rows = order[start : ends[i]], sample_order[sample_start : sample_ends[i]]
        start, sample_start = ends[i], sample_ends[i]
        yield (
            i,
            MentionBatch(
                batch.window_start,
                batch.posts,
                tuple(batch.keywords[row] for row in rows),
                batch.mentions[rows],
                batch.sample_counts[rows],
                batch.sample_ids[sample_rows],
                batch.sample_engagement[sample_rows],
            ),
        )


class _CountMentionsFn(beam.DoFn):
    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._posts = Metrics.counter("CountMentions", "posts")
        self._mentions = Metrics.counter("CountMentions", "mentions")
        self._batches = Metrics.counter("CountMentions", "batches")

    def start_bundle(self) -> None:
        self._counter = MentionCounter()

    def process(self, element: list[CountedPost]) -> None:
        self._counter.add(element)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for batch in self._counter.drain():
            self._posts.inc(batch.posts)
            self._mentions.inc(int(batch.mentions.sum()))
            self._batches.inc(self._shards)
            timestamp = Timestamp(batch.window_start)
            for shard in split_by_shard(batch, self._shards):
                yield WindowedValue(shard, timestamp, (GlobalWindow(),))


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
