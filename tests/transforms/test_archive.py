"""The raw archive, in a local folder."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from transforms import archive, lake
from transforms.archive import ArchivedRun, Archiver, read_object, without_repeats
from transforms.records import RawBatch

HOUR = 3_600_000
T0 = 444_444 * HOUR  # 2020-09-13 12:00 UTC


def batch(
    first: int, values: list[bytes], at: int | list[int] = T0, partition: int = 0, topic: str = "posts"
) -> RawBatch:
    return RawBatch(topic, partition, first, at if isinstance(at, list) else [at] * len(values), values)


def numbered(first: int, end: int) -> list[bytes]:
    return [b'{"n":%d}' % i for i in range(first, end)]


def store(folder: Path, *batches: RawBatch) -> None:
    archiver = Archiver(str(folder))
    for one in batches:
        archiver.add(one)
        archiver.flush()


def runs_in(folder: Path) -> list[ArchivedRun]:
    return [read_object(url, lake.get(url)) for url in lake.find(str(folder))]


def names_in(folder: Path) -> list[str]:
    return [str(Path(url).relative_to(folder)) for url in lake.find(str(folder))]


ODD = [b"", b"\xff\x00\xfe", b'{"a":"\xe2\x80\xa8"}', b"a\nb", b"\n", b"\n\n", b"\r", b" x ", b"tail\r\n"]


def test_every_byte_comes_back(tmp_path):
    store(tmp_path, batch(10, ODD))
    runs = runs_in(tmp_path)
    assert list(without_repeats(runs)) == ODD
    by_offset = {run.first_offset + i: value for run in runs for i, value in enumerate(run.values)}
    assert by_offset == dict(enumerate(ODD, 10))


@given(values=st.lists(st.binary(max_size=8) | st.sampled_from(ODD), min_size=1, max_size=30), data=st.data())
def test_round_trip_of_any_bytes_in_any_bundles(tmp_path_factory, values, data):
    folder = tmp_path_factory.mktemp("raw")
    cuts = sorted(data.draw(st.sets(st.integers(1, len(values)), max_size=4)) | {0, len(values)})
    store(folder, *(batch(a, values[a:b]) for a, b in pairwise(cuts)))
    assert list(without_repeats(runs_in(folder))) == values


def test_a_value_with_a_line_break_has_an_object_of_its_own(tmp_path):
    store(tmp_path, batch(5, [b"a", b"b\nb", b"c"]))
    folder = "dt=2020-09-13/hh=12"
    assert names_in(tmp_path) == [
        f"{folder}/posts-0-{5:020d}.ndjson.zst",
        f"{folder}/posts-0-{6:020d}.json.zst",
        f"{folder}/posts-0-{7:020d}.ndjson.zst",
    ]


def test_what_lies_between_line_breaks_is_appended_as_a_whole(tmp_path, monkeypatch):
    frames = []
    monkeypatch.setattr(Archiver, "_frame", lambda self, content, times: frames.append(content) or content)
    store(tmp_path, batch(0, [b"a", b"b", b"c\n", b"\nd", b"e", b"f"]))
    assert frames == [b"a\nb\n", b"c\n", b"\nd", b"e\nf\n"]


def test_an_object_grows_under_its_name_and_stays_plain_zstd(tmp_path):
    archiver = Archiver(str(tmp_path))
    archiver.add(batch(0, numbered(0, 3)))
    archiver.flush()
    (name,) = names_in(tmp_path)
    assert [run.values for run in runs_in(tmp_path)] == [numbered(0, 3)]
    archiver.add(batch(3, numbered(3, 5)))
    archiver.flush()
    assert names_in(tmp_path) == [name]
    assert [run.values for run in runs_in(tmp_path)] == [numbered(0, 5)]
    with zstandard.open(tmp_path / name, "rb") as file:
        assert file.read().startswith(b'{"n":0}\n')


def test_nothing_is_written_before_flush_and_nothing_again_without_news(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(lake, "put", lambda url, data: written.append(url))
    archiver = Archiver(str(tmp_path))
    archiver.add(batch(0, [b"a"]))
    assert written == []
    archiver.flush()
    archiver.flush()
    assert len(written) == 1


def test_a_full_object_is_followed_by_a_new_one(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FULL_BYTES", 1)
    store(tmp_path, batch(0, numbered(0, 2)), batch(2, numbered(2, 4)))
    assert [(run.first_offset, run.values) for run in runs_in(tmp_path)] == [(0, numbered(0, 2)), (2, numbered(2, 4))]


def test_a_full_object_is_written_while_the_bundle_goes_on(tmp_path, monkeypatch):
    frame = len(archive.Archiver("")._frame(b"\n".join([*numbered(0, 2), b""]), [T0, T0]))
    monkeypatch.setattr(archive, "FULL_BYTES", 3 * frame)
    archiver = Archiver(str(tmp_path))
    for first in range(0, 10, 2):
        archiver.add(batch(first, numbered(first, first + 2)))
    archiver.flush()  # at a bundle's end half of the size is enough
    archiver.add(batch(10, numbered(10, 12)))
    archiver.flush()
    archiver.add(batch(12, numbered(12, 14)))
    archiver.flush()
    assert [(run.first_offset, len(run.values)) for run in runs_in(tmp_path)] == [(0, 6), (6, 4), (10, 4)]
    assert list(without_repeats(runs_in(tmp_path))) == numbered(0, 14)


def test_a_gap_in_the_offsets_starts_a_new_object(tmp_path):
    archiver = Archiver(str(tmp_path))
    archiver.add(batch(0, [b"a"]))
    archiver.add(batch(9, [b"b"]))  # in the same bundle: the first must not be lost
    archiver.flush()
    assert [(run.first_offset, run.values) for run in runs_in(tmp_path)] == [(0, [b"a"]), (9, [b"b"])]


def test_the_hour_moves_on_and_a_late_post_does_not_move_it_back(tmp_path):
    values = numbered(0, 4)
    store(tmp_path, batch(0, values, [T0 + HOUR - 1, T0 + HOUR, T0 + 5, T0 + HOUR + 7]), batch(4, [b"x"], T0 + 6))
    hours = [re.search(r"hh=(\d\d)", name)[1] for name in names_in(tmp_path)]
    assert hours == ["12", "13"]
    assert [run.values for run in runs_in(tmp_path)] == [values[:1], [*values[1:], b"x"]]


def test_a_time_stamp_in_the_future_names_no_folder_there(tmp_path):
    store(tmp_path, batch(0, [b"a"], 4_000_000_000_000))
    assert "dt=2096" not in names_in(tmp_path)[0]
    assert [run.values for run in runs_in(tmp_path)] == [[b"a"]]


def test_partitions_and_topics_are_apart(tmp_path):
    store(tmp_path, batch(0, [b"a"]), batch(0, [b"b"], partition=1), batch(0, [b"c"], topic="x/other-topic"))
    assert [(r.topic, r.partition, r.values) for r in runs_in(tmp_path)] == [
        ("other-topic", 0, [b"c"]),
        ("posts", 0, [b"a"]),
        ("posts", 1, [b"b"]),
    ]


def test_what_a_replay_archives_again_is_read_once(tmp_path):
    store(tmp_path, batch(0, numbered(0, 6)), batch(6, numbered(6, 8)))
    store(tmp_path, batch(4, numbered(4, 12)))  # a restart goes back to an earlier checkpoint
    store(tmp_path, batch(5, numbered(5, 7)))  # and once more, failing sooner
    assert len(runs_in(tmp_path)) == 3
    assert list(without_repeats(runs_in(tmp_path))) == numbered(0, 12)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10), st.integers(0, 1)), max_size=12))
def test_any_overlap_is_read_once_in_order(spans):
    runs = [
        ArchivedRun("t", p, a, [b"%d-%d" % (p, i) for i in range(a, a + n)], np.zeros(n, np.int64)) for a, n, p in spans
    ]
    offsets = sorted({(p, i) for a, n, p in spans for i in range(a, a + n)})
    assert list(without_repeats(runs)) == [b"%d-%d" % place for place in offsets]


@given(st.lists(st.integers(-(2**40), 2**42), min_size=1, max_size=20), st.data())
def test_timestamps_come_back_as_the_source_gave_them(tmp_path_factory, times, data):
    folder = tmp_path_factory.mktemp("raw")
    cut = data.draw(st.integers(0, len(times)))
    parts = [part for part in (times[:cut], times[cut:]) if part]
    first = 0
    for part in parts:
        store(folder, batch(first, numbered(first, first + len(part)), part))
        first += len(part)
    found = {r.first_offset + i: t for r in runs_in(folder) for i, t in enumerate(r.timestamps_ms.tolist())}
    assert found == dict(enumerate(times))


@pytest.mark.parametrize("content", [b"a\nb\n", b"a\nb"])
def test_posts_that_something_else_archived_have_no_timestamps(content):
    data = zstandard.compress(content)
    run = read_object(f"raw/posts-3-{7:020d}.ndjson.zst", data)
    assert (run.partition, run.first_offset, run.values) == (3, 7, [b"a", b"b"])
    assert run.timestamps_ms.tolist() == [archive.NO_TIMESTAMP] * 2


@pytest.mark.parametrize("cut", [0, 1, 9, 20, -1])
def test_an_object_that_is_cut_off_is_broken(tmp_path, cut):
    store(tmp_path, batch(0, numbered(0, 50)), batch(50, numbered(50, 99)))
    (url, *_) = lake.find(str(tmp_path))
    with pytest.raises(archive.BrokenObjectError, match="broken object"):
        read_object(url, lake.get(url)[:cut])


def test_other_objects_are_refused():
    with pytest.raises(ValueError, match="not an object of the raw archive"):
        read_object("s3://b/raw/readme.txt", b"")
    with pytest.raises(ValueError, match="broken object"):
        read_object(f"posts-0-{0:020d}.ndjson.zst", b"not zstd")
