"""Decoding, a batch at a time: each record becomes a row of ``CountedPosts`` or a dead letter.

The rules are those of ``transforms.posts``. What most records fulfil is told of the whole batch at once; only if one of
them does not are they looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.metrics.metric import Metrics

from transforms.counted_posts import BadIdError, CountedPosts
from transforms.dead_letters import DeadLetter, Reason
from transforms.posts import (
    FUTURE_TOLERANCE_SECONDS,
    LAST_SECOND,
    UNREADABLE,
    CountedPost,
    Rejected,
    check,
    decode_leniently,
    decode_strictly,
)
from transforms.records import RawBatch


class DecodedBatch(NamedTuple):
    """What became of a ``RawBatch``: each record is in ``posts`` or in ``dead``, in their order."""

    posts: CountedPosts
    dead: list[DeadLetter]


def decode_batch(batch: RawBatch) -> DecodedBatch:
    """Decode of every record of a batch what counting needs."""
    decoded = _decode_each(batch.values)
    posts = [post for post in decoded if not isinstance(post, Rejected)]
    if len(posts) == len(decoded) and _are_in_time(posts, batch.timestamps_ms):
        with suppress(BadIdError):
            return DecodedBatch(CountedPosts.of(posts), [])
    posts, dead = [], []
    for i, (post, timestamp_ms) in enumerate(zip(decoded, batch.timestamps_ms, strict=True)):
        try:
            if isinstance(post, Rejected):
                raise post
            check(post, timestamp_ms)
        except Rejected as rejected:
            where = batch.topic, batch.partition, batch.first_offset + i
            dead.append(DeadLetter(rejected.reason, rejected.detail, *where, timestamp_ms, batch.values[i]))
        else:
            posts.append(post)
    return DecodedBatch(CountedPosts.of(posts), dead)


def _decode_each(values: Sequence[bytes]) -> list[CountedPost | Rejected]:
    decoded: list[CountedPost | Rejected] = []
    strictly = map(decode_strictly, values)
    while len(decoded) < len(values):
        try:
            decoded.extend(strictly)  # goes on where it stopped, behind the record that did not fit
        except UNREADABLE:
            try:
                decoded.append(decode_leniently(values[len(decoded)]))
            except Rejected as rejected:
                decoded.append(rejected)
    return decoded


def _are_in_time(posts: Sequence[CountedPost], timestamps_ms: Sequence[int]) -> bool:
    """Tell whether ``check`` would find nothing wrong with the time of any post."""
    seconds = np.array([post.time_stamp for post in posts], np.float64)
    ahead = seconds - np.array(timestamps_ms, np.int64) / 1000
    return bool(((seconds > 0) & (ahead <= FUTURE_TOLERANCE_SECONDS) & (seconds <= LAST_SECOND)).all())


class _DecodePostsFn(beam.DoFn):
    def __init__(self) -> None:
        self._posts = Metrics.counter("DecodePosts", "posts")
        self._dead = Metrics.counter("DecodePosts", "dead_letters")
        self._dead_by_reason = {reason: Metrics.counter("DecodePosts", f"dead_letters.{reason}") for reason in Reason}

    def process(self, element: RawBatch) -> Iterator[Any]:
        posts, dead = decode_batch(element)
        self._posts.inc(len(posts))
        self._dead.inc(len(dead))
        for letter in dead:
            self._dead_by_reason[letter.reason].inc()
        if dead:
            yield beam.pvalue.TaggedOutput(DecodePosts.DEAD, dead)
        if posts:
            yield posts


@dataclass
class DecodePosts(beam.PTransform):
    """``RawBatch`` → ``CountedPosts`` under ``POSTS``, ``list[DeadLetter]`` under ``DEAD``."""

    POSTS: ClassVar[str] = "posts"
    DEAD: ClassVar[str] = "dead"

    def expand(self, batches: beam.PCollection[RawBatch]) -> beam.pvalue.DoOutputsTuple:
        """Decode each batch; counts posts and dead letters, these by reason too."""
        decode = beam.ParDo(_DecodePostsFn()).with_output_types(CountedPosts)
        return batches | "Decode" >> decode.with_outputs(self.DEAD, main=self.POSTS)
