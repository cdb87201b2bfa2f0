"""The daily batch's steps: a surveyed part of the archive into posts, and everything a day becomes into staging tables.

What counts, windows and merges between them is the stream's own: ``CountMentions``, ``WindowMentions``, ``MergePanes``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

import apache_beam as beam
import msgspec
import numpy as np
import numpy.typing as npt
from apache_beam.metrics.metric import Metrics

from detection.counts import WINDOW_SECONDS
from transforms import lake
from transforms.archive import NO_TIMESTAMP, ArchivedRun, read_object
from transforms.copy_text import encode, text, time_of
from transforms.counted_posts import CountedPosts
from transforms.post_rows import POST_COLUMNS, DailyTally, challenges_of, post_row
from transforms.posts import Post, Rejected, decode_post
from transforms.records import MAX_BATCH
from transforms.staging import Chunk, ParseRun, Stager, Target
from transforms.survey import DUPLICATE, HOUR_MASK, SurveyedObject, source_times
from transforms.windows import CountedWindow, Pane

CHALLENGES: Final = Target("staged_challenges", ("date", "challenge", "posts", "engagement"))
MUSIC: Final = Target("staged_music", ("date", "music_id", "music", "artist", "newest", "posts", "engagement"))
DEAD_LETTERS: Final = Target(
    "staged_dead_letters", ("date", "topic", "partition", "offset", "seen_at", "reason", "detail", "raw")
)
TOTALS: Final = Target("staged_totals", ("date", "window_start", "posts"))
UNCOUNTED: Final = Target("staged_uncounted", ("date", "keyword", "window_start", "late", "duplicates"))

BATCH_PANE: Final = max(Pane) + 1
"""Stands in the column ``pane`` for the batch, which supersedes every pane of the stream."""

ANY_KEYWORD: Final = ""
"""Stands in ``uncounted`` for the window's posts."""

STAGED_WINDOWS: Final = 200
"""Shards of windows that are staged in one transaction."""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """The lines of one object that fall in some hours of the day.

    Attributes:
        found: what the survey found in the object.
        first_hour: first hour, 0 to 23.
        end_hour: the hour after the last.
    """

    found: SurveyedObject
    first_hour: int
    end_hour: int

    def wanted(self) -> npt.NDArray[np.int64]:
        """Return the lines, int64[n]."""
        hours = self.found.coded() & HOUR_MASK
        return np.flatnonzero((hours >= self.first_hour) & (hours < self.end_hour))


class PartLine(msgspec.Struct, frozen=True, gc=False):
    """A readable post of a part.

    Attributes:
        post: the post.
        duplicate: its id came again with a later ``time_stamp``.
        late: the stream was past its window by more than the allowed lateness when it came.
    """

    post: Post
    duplicate: bool
    late: bool


def newest_before(run: ArchivedRun, before_ms: int) -> npt.NDArray[np.int64]:
    """Return, for each line, the newest timestamp in the partition before it, ms: the stream's watermark at most, unless it went by the clock.

    Args:
        run: the lines.
        before_ms: newest timestamp before the first of them.
    """
    return np.maximum.accumulate(np.concatenate([[before_ms], run.timestamps_ms]))[:-1]


def read_part(part: Part, run: ArchivedRun, allowed_lateness_seconds: int) -> Iterator[PartLine | tuple[int, Rejected]]:
    """Read the lines of a part: a ``PartLine``, or the line's number and why it is dead."""
    codes, before, times = part.found.coded(), newest_before(run, part.found.before_ms), source_times(run)
    for line in part.wanted().tolist():
        try:
            post = decode_post(run.values[line], times[line])
        except Rejected as rejected:
            yield line, rejected
            continue
        closed_ms = (post.window_start + WINDOW_SECONDS + allowed_lateness_seconds) * 1000
        yield PartLine(post, bool(codes[line] & DUPLICATE), closed_ms <= before[line])


def _dead_letter_row(date: str, run: ArchivedRun, line: int, rejected: Rejected, day_start: int) -> str:
    timestamp_ms = int(run.timestamps_ms[line])
    seconds = day_start if timestamp_ms == NO_TIMESTAMP else timestamp_ms / 1000
    return (
        f"{date}\t{text(run.topic)}\t{run.partition}\t{run.first_offset + line}\t{time_of(seconds)}"
        f"\t{rejected.reason}\t{text(rejected.detail)}\t\\\\x{run.values[line].hex()}\n"
    )


class _ReadPartsFn(beam.DoFn):
    LATE: ClassVar[str] = "late"
    DUPLICATES: ClassVar[str] = "duplicates"

    def __init__(self, run: ParseRun, day_start: int, allowed_lateness_seconds: int, dropped: frozenset[str]) -> None:
        self._run = run
        self._day_start = day_start
        self._allowed_lateness_seconds = allowed_lateness_seconds
        self._dropped = dropped
        self._posts = Metrics.counter("ReadParts", "posts")
        self._dead = Metrics.counter("ReadParts", "dead_letters")

    def setup(self) -> None:
        self._stager = Stager(self._run)

    def teardown(self) -> None:
        self._stager.close()

    def process(self, packed: bytes) -> Iterator[object]:
        part = _decode_part(packed)
        run = read_object(part.found.url, lake.get(part.found.url))
        rows: list[str] = []
        dead: list[str] = []
        tally = DailyTally()
        outputs: dict[str, list[Post]] = {tag: [] for tag in ("posts", self.LATE, self.DUPLICATES)}
        for read in read_part(part, run, self._allowed_lateness_seconds):
            if not isinstance(read, PartLine):
                dead.append(_dead_letter_row(self._run.date, run, *read, self._day_start))
                continue
            if read.duplicate:
                outputs[self.DUPLICATES].append(read.post)
                continue
            challenges = challenges_of(read.post, self._dropped)
            rows.append(post_row(read.post, challenges, self._dropped))
            tally.add(read.post, challenges)
            if read.late:
                outputs[self.LATE].append(read.post)
            outputs["posts"].append(read.post)
            if len(outputs["posts"]) == MAX_BATCH:
                yield CountedPosts.of(outputs["posts"])
                outputs["posts"].clear()
        for tag, posts in outputs.items():
            if posts:
                counted = CountedPosts.of(posts)
                yield counted if tag == "posts" else beam.pvalue.TaggedOutput(tag, counted)
        self._posts.inc(len(rows))
        self._dead.inc(len(dead))
        date = self._run.date
        staged = {
            Target(self._run.staged("posts"), tuple(POST_COLUMNS)): encode(rows),
            CHALLENGES: encode(tally.challenge_rows(date)),
            MUSIC: encode(tally.music_rows(date)),
            DEAD_LETTERS: encode(dead),
        }
        name = f"{part.found.url} {part.first_hour}-{part.end_hour}"
        self._stager.stage([Chunk(name, len(rows), {target: lines for target, lines in staged.items() if lines})])


_decode_part = msgspec.msgpack.Decoder(Part).decode


@dataclass
class ReadParts(beam.PTransform):
    """Packed ``Part``s → ``CountedPosts`` under ``POSTS``, ``LATE`` and ``DUPLICATES``.

    Posts, their challenges and sounds, and dead letters are staged. ``LATE`` repeats some of ``POSTS``; ``DUPLICATES``
    are not among them.

    Attributes:
        run: the run of the batch.
        day_start: start of the day, epoch seconds.
        allowed_lateness_seconds: the stream's.
        dropped: keywords that carry nothing.
    """

    POSTS: ClassVar[str] = "posts"
    LATE: ClassVar[str] = _ReadPartsFn.LATE
    DUPLICATES: ClassVar[str] = _ReadPartsFn.DUPLICATES

    run: ParseRun
    day_start: int
    allowed_lateness_seconds: int
    dropped: frozenset[str]

    def expand(self, parts: beam.PCollection[bytes]) -> beam.pvalue.DoOutputsTuple:
        """Read each part."""
        read = _ReadPartsFn(self.run, self.day_start, self.allowed_lateness_seconds, self.dropped)
        typed = beam.ParDo(read).with_output_types(CountedPosts)
        return parts | "Read" >> typed.with_outputs(self.LATE, self.DUPLICATES, main=self.POSTS)


class _StageFn(beam.DoFn):
    """Stages the windows of a bundle, several in a transaction."""

    def __init__(self, run: ParseRun) -> None:
        self._run = run

    def setup(self) -> None:
        self._stager = Stager(self._run)

    def teardown(self) -> None:
        self._stager.close()

    def start_bundle(self) -> None:
        self._chunks: list[Chunk] = []

    def process(self, element: tuple[int, CountedWindow]) -> None:
        self._chunks.append(self.chunk(element[1]))
        if len(self._chunks) >= STAGED_WINDOWS:
            self._flush()

    def finish_bundle(self) -> None:
        self._flush()

    def chunk(self, window: CountedWindow) -> Chunk:
        """Return the rows of one shard of a window."""
        raise NotImplementedError

    def _flush(self) -> None:
        if self._chunks:
            self._stager.stage(self._chunks)
            self._chunks = []


class _StageWindowsFn(_StageFn):
    def __init__(self, run: ParseRun) -> None:
        super().__init__(run)
        self._target = Target(run.staged("keyword_windows"), ("keyword", "window_start", "mentions", "pane"))

    def chunk(self, window: CountedWindow) -> Chunk:
        counts, start = window.counts, time_of(window.counts.window_start)
        lines = encode(
            f"{text(keyword)}\t{start}\t{mentions}\t{BATCH_PANE}\n"
            for keyword, mentions in zip(counts.words(), counts.mentions.tolist(), strict=True)
        )
        rows = {self._target: lines} if lines else {}
        if window.shard == 0:
            rows[TOTALS] = encode([f"{self._run.date}\t{start}\t{counts.posts}\n"])
        return Chunk(f"windows {counts.window_start} {window.shard}", 0, rows)


@dataclass
class StageWindows(beam.PTransform):
    """``(shard, CountedWindow)`` → rows of the staged ``keyword_windows`` and of the windows' totals.

    Attributes:
        run: the run of the batch.
    """

    run: ParseRun

    def expand(self, windows: beam.PCollection[tuple[int, CountedWindow]]) -> beam.PCollection[None]:
        """Stage every window."""
        return windows | "Stage" >> beam.ParDo(_StageWindowsFn(self.run))


class _StageUncountedFn(_StageFn):
    def __init__(self, run: ParseRun, kind: str) -> None:
        super().__init__(run)
        self._kind = kind

    def chunk(self, window: CountedWindow) -> Chunk:
        counts, start = window.counts, time_of(window.counts.window_start)
        mentions = [(ANY_KEYWORD, counts.posts)] if window.shard == 0 else []
        mentions += zip(counts.words(), counts.mentions.tolist(), strict=True)
        late = self._kind == ReadParts.LATE
        lines = encode(
            f"{self._run.date}\t{text(keyword)}\t{start}\t{n if late else 0}\t{0 if late else n}\n"
            for keyword, n in mentions
        )
        return Chunk(f"{self._kind} {counts.window_start} {window.shard}", 0, {UNCOUNTED: lines})


@dataclass
class StageUncounted(beam.PTransform):
    """``(shard, CountedWindow)`` of late or repeated posts → rows that explain where stream and batch differ.

    Attributes:
        run: the run of the batch.
        kind: ``ReadParts.LATE`` or ``ReadParts.DUPLICATES``.
    """

    run: ParseRun
    kind: str

    def expand(self, windows: beam.PCollection[tuple[int, CountedWindow]]) -> beam.PCollection[None]:
        """Stage every window."""
        return windows | "Stage" >> beam.ParDo(_StageUncountedFn(self.run, self.kind))
