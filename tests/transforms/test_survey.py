"""The survey: which line is whose, and which post of those that came twice stays."""

from __future__ import annotations

from collections import defaultdict

import apache_beam as beam
import msgspec
import numpy as np
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from hypothesis import given
from hypothesis import strategies as st

from transforms import lake
from transforms.archive import NO_TIMESTAMP, ArchivedRun, Archiver
from transforms.records import RawBatch
from transforms.survey import (
    DEAD,
    DUPLICATE,
    ELSEWHERE,
    Identities,
    SurveyArchive,
    find_repeated,
    read_survey,
    settle,
    survey_run,
)

DAY = 1_600_041_600  # 2020-09-14
HOUR = 3600


def raw(post_id: int, at: float, text: str = "") -> bytes:
    return msgspec.json.encode({"itemInfos": {"id": str(post_id), "text": text}, "time_stamp": at})


def run(first: int, lines: list[bytes], times: list[float] | None = None, partition: int = 0) -> ArchivedRun:
    ms = np.full(len(lines), NO_TIMESTAMP) if times is None else (np.array(times) * 1000).astype(np.int64)
    return ArchivedRun("posts", partition, first, lines, ms)


def identities(*posts: tuple[int, float, int], partition: int = 0) -> Identities:
    ids, stamps, offsets = zip(*posts, strict=True)
    columns = np.array(ids, np.int64), np.array(stamps, np.float64), np.array(offsets, np.int64)
    return Identities("posts", partition, *(column.tobytes() for column in columns))


def lost(*parts: Identities) -> set[tuple[int, int]]:
    return {
        (found.partition, offset)
        for found in find_repeated(parts)
        for offset in np.frombuffer(found.offsets, np.int64).tolist()
    }


def test_the_hours_of_the_day_in_utc_and_nothing_else():
    at = [DAY - 0.001, DAY, DAY + HOUR - 0.001, DAY + HOUR, DAY + 24 * HOUR - 0.001, DAY + 24 * HOUR]
    found, _ = survey_run("u", run(0, [raw(i + 1, t) for i, t in enumerate(at)], at), DAY)
    assert list(found.codes) == [ELSEWHERE, 0, 0, 1, 23, ELSEWHERE]


def test_a_dead_letter_is_in_the_hour_of_its_record():
    found, shards = survey_run("u", run(0, [b"{", b"", raw(1, DAY)], [DAY + 5 * HOUR, DAY - 1, DAY]), DAY)
    assert list(found.codes) == [5 | DEAD, ELSEWHERE, 0]
    assert sum(len(part.ids) // 8 for _, part in shards) == 1


def test_a_post_far_ahead_of_its_record_is_dead_as_it_was_in_the_stream():
    found, _ = survey_run("u", run(0, [raw(1, DAY + 5 * HOUR)], [DAY + HOUR]), DAY)
    assert list(found.codes) == [1 | DEAD]
    unknown, _ = survey_run("u", run(0, [raw(1, DAY + 5 * HOUR)]), DAY)  # without a timestamp nobody can tell
    assert list(unknown.codes) == [5]


def test_the_latest_time_stamp_stays_and_of_equals_the_last_that_came():
    assert lost(identities((7, 10.0, 0), (7, 12.0, 1), (7, 11.0, 2))) == {(0, 0), (0, 2)}
    assert lost(identities((7, 10.0, 0), (7, 10.0, 1))) == {(0, 0)}
    assert lost(identities((7, 10.0, 5)), identities((7, 10.0, 1), partition=1)) == {(0, 5)}


def test_the_same_line_archived_twice_is_one_post():
    assert lost(identities((7, 10.0, 3)), identities((7, 10.0, 3))) == set()
    assert lost(identities((7, 10.0, 3)), identities((7, 10.0, 3), (7, 9.0, 4))) == {(0, 4)}


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=20), st.data())
def test_exactly_one_of_each_id_stays_however_the_posts_are_cut(posts, data):
    sent = [(post_id, float(at), offset, partition) for offset, (post_id, at, partition) in enumerate(posts)]
    cut = data.draw(st.integers(0, len(sent)))
    parts = [
        identities(*[(i, t, o) for i, t, o, p in half if p == partition], partition=partition)
        for half in (sent[:cut], sent[cut:])
        for partition in (0, 1)
        if any(p == partition for *_, p in half)
    ]
    gone = lost(*parts)
    stay = defaultdict(list)
    for post_id, at, offset, partition in sent:
        if (partition, offset) not in gone:
            stay[post_id].append(at)
    assert {post_id: len(times) for post_id, times in stay.items()} == dict.fromkeys({i for i, *_ in sent}, 1)
    assert all(times == [max(at for i, at, *_ in sent if i == post_id)] for post_id, times in stay.items())


def test_what_an_earlier_object_holds_already_is_passed_over():
    lines = [raw(i + 1, DAY + i) for i in range(6)]
    one, _ = survey_run("one", run(0, lines[:4], [DAY + i for i in range(4)]), DAY)
    two, _ = survey_run("two", run(2, lines[2:], [DAY + i for i in range(2, 6)]), DAY)
    settled = settle([two, one], [])
    assert [found.url for found in settled] == ["one", "two"]
    assert list(settled[1].codes) == [ELSEWHERE, ELSEWHERE, 0, 0]
    assert [found.before_ms for found in settled] == [NO_TIMESTAMP, (DAY + 3) * 1000]


@pytest.mark.parametrize("broken", [b"", b"not zstd"])
def test_the_pipeline_settles_a_day(tmp_path, broken):
    raw_folder, output = tmp_path / "raw", str(tmp_path / "survey")
    archiver = Archiver(str(raw_folder))
    first = [raw(1, DAY + 5), raw(2, DAY + 6, "#fyp"), b"{"]
    later = [raw(1, DAY + 2 * HOUR), raw(3, DAY + HOUR)]
    archiver.add(RawBatch("posts", 0, 0, [(DAY + 7) * 1000] * 3, first))
    archiver.add(RawBatch("posts", 0, 3, [(DAY + 2 * HOUR) * 1000] * 2, later))
    archiver.flush()
    bad = f"{raw_folder}/dt=2020-09-14/hh=09/posts-1-{0:020d}.ndjson.zst"
    lake.put(bad, broken)
    with TestPipeline() as pipeline:
        pipeline | beam.Create(list(lake.find(str(raw_folder)))) | SurveyArchive(DAY, output)
    found = read_survey(output)
    assert [part.url for part in found if part.broken] == [bad]
    assert [list(part.codes) for part in found if not part.broken] == [[DUPLICATE, 0, DEAD], [2, 1]]
