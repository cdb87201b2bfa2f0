"""Surveying the raw archive of a day: what each archived line is, before anything is counted.

A post that came again (the same id) is counted once, and the one with the latest ``time_stamp`` wins. Which one that is
shows only when the whole day has been seen. So the day is read twice: the survey keeps some 24 bytes of each post, finds
the repeats and the places of what belongs to the day, and writes down its findings, a byte a line; afterwards each part of
the day can be read and counted on its own, and memory stays flat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

import apache_beam as beam
import msgspec
import numpy as np
import numpy.typing as npt
from apache_beam.metrics.metric import Metrics

from detection.hourly import DAY_SECONDS
from transforms import lake
from transforms.archive import NO_TIMESTAMP, ArchivedRun, BrokenObjectError, read_object
from transforms.posts import NEVER_AHEAD_MS, CountedPost, Post, Rejected, decode_counted, decode_post
from transforms.readable import hashtags

ELSEWHERE: Final = 31
"""Code of a line that is none of the day's; 0 to 23 are its hours."""

DUPLICATE: Final = 32
"""Flag of a post whose id came again with a later ``time_stamp``; it is added to the code of its hour."""

DEAD: Final = 64
"""Flag of a line that could not be read; it is added to the code of the hour of the record's own timestamp."""

HOUR_MASK: Final = 31
ID_SHARDS: Final = 16

SAMPLE_EVERY: Final = 20
"""One post in so many is looked at for hashtags that are everywhere."""


class Place(NamedTuple):
    """Where a run of lines came from: the identity of what was sent, however often it was archived."""

    topic: str
    partition: int


class SurveyedObject(msgspec.Struct, frozen=True, array_like=True):
    """What the survey found in one object.

    Attributes:
        url: its address.
        topic: topic that its posts came from.
        partition: partition that they came from.
        first_offset: offset of the first line.
        codes: of each line, the hour of the day or ``ELSEWHERE``, plus ``DUPLICATE`` or ``DEAD``, uint8[n].
        newest_ms: newest timestamp in it, milliseconds; ``NO_TIMESTAMP`` where it has none.
        before_ms: newest timestamp in the partition's offsets before it, milliseconds; ``NO_TIMESTAMP`` at the start.
        sampled: posts looked at for hashtags.
        hashtags: in how many of these each hashtag was.
        broken: why the object could not be read; empty if it could.
    """

    url: str
    topic: str = ""
    partition: int = 0
    first_offset: int = 0
    codes: bytes = b""
    newest_ms: int = NO_TIMESTAMP
    before_ms: int = NO_TIMESTAMP
    sampled: int = 0
    hashtags: dict[str, int] = {}
    broken: str = ""

    @property
    def place(self) -> Place:
        """Topic and partition."""
        return Place(self.topic, self.partition)

    @property
    def next_offset(self) -> int:
        """The offset that follows the last line."""
        return self.first_offset + len(self.codes)

    def coded(self) -> npt.NDArray[np.uint8]:
        """Return the codes as an array."""
        return np.frombuffer(self.codes, np.uint8)


class Identities(msgspec.Struct, frozen=True, array_like=True):
    """Ids of some posts of an object, for the search for repeats; columns of length n, packed.

    Attributes:
        topic: topic of the posts.
        partition: partition of the posts.
        ids: post ids, int64.
        time_stamps: their event time, epoch seconds, float64.
        offsets: int64.
    """

    topic: str
    partition: int
    ids: bytes
    time_stamps: bytes
    offsets: bytes


@dataclass
class _Findings:
    """What is noted line by line."""

    codes: npt.NDArray[np.uint8]
    live: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    time_stamps: list[float] = field(default_factory=list)
    sampled: int = 0
    tags: Counter[str] = field(default_factory=Counter)

    def note(self, line: int, post: CountedPost, hour: int) -> None:
        self.codes[line] = hour
        self.live.append(line)
        self.ids.append(post.post_id)
        self.time_stamps.append(post.time_stamp)

    def sample(self, post: Post) -> None:
        self.sampled += 1
        self.tags.update(hashtags(post))


def source_times(run: ArchivedRun) -> list[int]:
    """Return the timestamp of each line by which it is judged to lie in the future, ms."""
    times: list[int] = np.where(run.timestamps_ms == NO_TIMESTAMP, NEVER_AHEAD_MS, run.timestamps_ms).tolist()
    return times


def survey_run(url: str, run: ArchivedRun, day_start: int) -> tuple[SurveyedObject, list[tuple[int, Identities]]]:
    """Survey one object.

    Args:
        url: its address.
        run: its content.
        day_start: start of the day, epoch seconds.

    Returns:
        The findings, with no duplicate marked yet, and the identities of the day's posts by shard.
    """
    findings = _Findings(np.full(len(run.values), ELSEWHERE, np.uint8))
    own_folder = f"/dt={datetime.fromtimestamp(day_start, UTC).date()}/"
    for line, (raw, time_ms) in enumerate(zip(run.values, source_times(run), strict=True)):
        try:
            post = decode_counted(raw, time_ms)
        except Rejected:
            timestamp_ms = int(run.timestamps_ms[line])
            if timestamp_ms == NO_TIMESTAMP:
                # In no hour; the first of the day in whose folder it lies keeps it from being lost, or counted twice.
                hour = 0 if own_folder in url else None
            else:
                hour = _hour(timestamp_ms // 1000, day_start)
            findings.codes[line] = ELSEWHERE if hour is None else hour | DEAD
            continue
        hour = _hour(post.time_stamp, day_start)
        if hour is not None:
            findings.note(line, post, hour)
            if line % SAMPLE_EVERY == 0:
                findings.sample(decode_post(raw, time_ms))
    surveyed = SurveyedObject(
        url=url,
        topic=run.topic,
        partition=run.partition,
        first_offset=run.first_offset,
        codes=findings.codes.tobytes(),
        newest_ms=int(run.timestamps_ms.max(initial=NO_TIMESTAMP)),
        sampled=findings.sampled,
        hashtags=dict(findings.tags),
    )
    return surveyed, list(_by_shard(run, findings))


def _hour(seconds: float, day_start: int) -> int | None:
    since = seconds - day_start
    return int(since // 3600) if 0 <= since < DAY_SECONDS else None


def _by_shard(run: ArchivedRun, findings: _Findings) -> Iterator[tuple[int, Identities]]:
    ids = np.array(findings.ids, np.int64)
    time_stamps = np.array(findings.time_stamps, np.float64)
    offsets = np.array(findings.live, np.int64) + run.first_offset
    # Ids hold a time in their upper bits; the lower ones alone are not spread evenly.
    shard = (ids ^ (ids >> 32)) % ID_SHARDS
    for number in np.unique(shard).tolist():
        rows = shard == number
        packed = (column[rows].tobytes() for column in (ids, time_stamps, offsets))
        yield number, Identities(run.topic, run.partition, *packed)


class Repeated(msgspec.Struct, frozen=True, array_like=True):
    """Offsets of posts that came again, int64, packed."""

    topic: str
    partition: int
    offsets: bytes


def find_repeated(identities: Sequence[Identities]) -> list[Repeated]:
    """Find the posts whose id came again.

    The one with the latest ``time_stamp`` stays, of equals the one that came last. A line that was archived twice, under
    the same offset, is one post.
    """
    places = sorted({Place(part.topic, part.partition) for part in identities})
    number = {place: i for i, place in enumerate(places)}
    ids = np.concatenate([np.frombuffer(part.ids, np.int64) for part in identities])
    time_stamps = np.concatenate([np.frombuffer(part.time_stamps, np.float64) for part in identities])
    offsets = np.concatenate([np.frombuffer(part.offsets, np.int64) for part in identities])
    place = np.concatenate(
        [np.full(len(part.ids) // 8, number[Place(part.topic, part.partition)], np.int64) for part in identities]
    )
    order = np.lexsort((offsets, place, time_stamps, ids))
    last = np.append(np.diff(ids[order]) != 0, True)  # of each id
    winner = order[np.flatnonzero(last)[np.cumsum(last) - last]]
    lost = (offsets[order] != offsets[winner]) | (place[order] != place[winner])
    losers = order[lost]
    return [
        Repeated(where.topic, where.partition, np.unique(offsets[losers[place[losers] == i]]).tobytes())
        for i, where in enumerate(places)
        if (place[losers] == i).any()
    ]


def settle(objects: Iterable[SurveyedObject], repeated: Iterable[Repeated]) -> list[SurveyedObject]:
    """Mark repeats: posts that came again, and lines that an earlier object of the partition holds already.

    Returns:
        The objects, by partition and offset, with ``before_ms`` filled in.
    """
    by_place: dict[Place, list[npt.NDArray[np.int64]]] = {}
    for part in repeated:
        by_place.setdefault(Place(part.topic, part.partition), []).append(np.frombuffer(part.offsets, np.int64))
    lost = {place: np.unique(np.concatenate(parts)) for place, parts in by_place.items()}
    none = np.empty(0, np.int64)
    settled: list[SurveyedObject] = []
    known: dict[Place, int] = {}
    newest: dict[Place, int] = {}
    for found in sorted(objects, key=lambda found: (found.topic, found.partition, found.first_offset)):
        place, codes = found.place, found.coded().copy()
        archived_before = known.get(place, 0) - found.first_offset
        if archived_before > 0:
            codes[:archived_before] = ELSEWHERE
        losers = lost.get(place, none)
        losers = losers[slice(*np.searchsorted(losers, (found.first_offset, found.next_offset)))] - found.first_offset
        again = losers[codes[losers] != ELSEWHERE]
        codes[again] |= DUPLICATE
        settled.append(msgspec.structs.replace(found, codes=codes.tobytes(), before_ms=newest.get(place, NO_TIMESTAMP)))
        known[place] = max(known.get(place, 0), found.next_offset)
        newest[place] = max(newest.get(place, NO_TIMESTAMP), found.newest_ms)
    return settled


class _SurveyFn(beam.DoFn):
    IDENTITIES = "identities"

    def __init__(self, day_start: int) -> None:
        self._day_start = day_start
        self._objects = Metrics.counter("SurveyArchive", "objects")

    def process(self, url: str) -> Iterator[object]:
        self._objects.inc()
        try:
            surveyed, identities = survey_run(url, read_object(url, lake.get(url)), self._day_start)
        except BrokenObjectError as error:
            surveyed, identities = SurveyedObject(url, broken=str(error)), []
        yield msgspec.msgpack.encode(surveyed)
        for shard, part in identities:
            yield beam.pvalue.TaggedOutput(self.IDENTITIES, (shard, msgspec.msgpack.encode(part)))


_decode_identities = msgspec.msgpack.Decoder(Identities).decode
_decode_repeated = msgspec.msgpack.Decoder(Repeated).decode
_decode_surveyed = msgspec.msgpack.Decoder(SurveyedObject).decode
_decode_survey = msgspec.msgpack.Decoder(list[SurveyedObject]).decode


def _repeated(element: tuple[int, Iterable[bytes]]) -> Iterator[bytes]:
    for part in find_repeated([_decode_identities(part) for part in element[1]]):
        yield msgspec.msgpack.encode(part)


def _write_survey(element: tuple[None, dict[str, Iterable[bytes]]], url: str) -> None:
    found = element[1]
    objects = [_decode_surveyed(part) for part in found["objects"]]
    settled = settle(objects, (_decode_repeated(part) for part in found["repeated"]))
    lake.put(url, msgspec.msgpack.encode(settled))


def read_survey(url: str) -> list[SurveyedObject]:
    """Read what ``SurveyArchive`` wrote."""
    return _decode_survey(lake.get(url))


@dataclass
class SurveyArchive(beam.PTransform):
    """Addresses of objects → one object in the lake with a settled ``SurveyedObject`` of each.

    Attributes:
        day_start: start of the day, epoch seconds.
        output: address to write to.
    """

    day_start: int
    output: str

    def expand(self, urls: beam.PCollection[str]) -> beam.PCollection[None]:
        """Read every object, bring the ids of the whole day together, write the findings."""
        surveyed = (
            urls
            | "Spread" >> beam.Reshuffle()
            | "Survey" >> beam.ParDo(_SurveyFn(self.day_start)).with_outputs(_SurveyFn.IDENTITIES, main="objects")
        )
        repeated = (
            surveyed[_SurveyFn.IDENTITIES]
            | "ById" >> beam.GroupByKey()
            | "Repeated" >> beam.FlatMap(_repeated).with_output_types(bytes)
        )
        keyed = {
            "objects": surveyed["objects"] | "Object" >> beam.Map(lambda part: (None, part)),
            "repeated": repeated | "Repeat" >> beam.Map(lambda part: (None, part)),
        }
        return keyed | "Together" >> beam.CoGroupByKey() | "Write" >> beam.Map(_write_survey, self.output)
