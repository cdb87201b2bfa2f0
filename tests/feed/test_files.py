"""Readers and writers of lines."""

from __future__ import annotations

import gzip
import io
import sys

import boto3
import pytest
import zstandard
from botocore.response import StreamingBody

from feed import files
from feed.files import Lines, SourceError, open_output, read_lines
from tests.feed.servers import Storage
from transforms.archive import Archiver
from transforms.records import RawBatch

LINES = [b'{"a":1}', '{"b":"é😂\u2028x"}'.encode(), b"\xff\xfe not UTF-8", b"  {} "]


@pytest.mark.parametrize("name", ["x.ndjson", "x.ndjson.gz", "x.ndjson.zst", "deep/er/x.ndjson"])
def test_what_is_written_is_read(tmp_path, name):
    path = str(tmp_path / name)
    with open_output(path) as output:
        for line in LINES:
            output.write(line + b"\n")
    assert list(read_lines([path])) == LINES


def test_compression_is_told_from_content(tmp_path):
    (tmp_path / "misnamed.ndjson").write_bytes(gzip.compress(b"1\n2\n"))
    assert list(read_lines([str(tmp_path / "misnamed.ndjson")])) == [b"1", b"2"]


def test_concatenated_members_and_frames_are_read_to_the_end(tmp_path):
    compress = zstandard.ZstdCompressor().compress
    (tmp_path / "a.zst").write_bytes(compress(b"1\n") + compress(b"2\n3"))
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"4\n") + gzip.compress(b"5\n"))
    assert list(read_lines([str(tmp_path / "a.zst"), str(tmp_path / "a.gz")])) == [b"1", b"2", b"3", b"4", b"5"]


def test_a_folder_is_searched_in_the_order_of_names(tmp_path):
    (tmp_path / "hh=01").mkdir()
    (tmp_path / "hh=00").mkdir()
    (tmp_path / "hh=01" / "b.ndjson").write_bytes(b"2\r\n\r\n")
    (tmp_path / "hh=00" / "z.ndjson.gz").write_bytes(gzip.compress(b"1\n"))
    (tmp_path / "notes.txt").write_bytes(b"no post\n")
    assert list(read_lines([str(tmp_path)])) == [b"1", b"2"]


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(b"1\n2\n")))))
    assert list(read_lines(["-"])) == [b"1", b"2"]


def test_the_archive_of_the_stream_can_be_sent_again(tmp_path):
    archiver = Archiver(str(tmp_path))
    for first in (0, 2):
        archiver.add(RawBatch("posts", 0, first, [1_600_000_000_000] * 2, [b"%d" % first, b"%d" % (first + 1)]))
    archiver.flush()
    assert list(read_lines([str(tmp_path)])) == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"1\n" * 9999)[:-9],
        gzip.compress(b"1\n" * 9999)[:10] + b"\xff" * 99,
        zstandard.compress(b"1\n")[:7] + b"\xff" * 9,
    ],
    ids=["gzip that is cut off", "broken gzip", "broken zstd"],
)
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "damaged.ndjson"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"damaged\.ndjson"):
        list(read_lines([str(path)]))


def test_missing_sources_are_named(tmp_path):
    with pytest.raises(SourceError, match="nowhere"):
        list(read_lines([str(tmp_path / "nowhere")]))
    with pytest.raises(SourceError, match="no file"):
        list(read_lines([str(tmp_path)]))


def test_s3_objects_and_prefixes(monkeypatch):
    objects = {"raw/hh=01/b.ndjson.gz": gzip.compress(b"2\n"), "raw/hh=00/a.ndjson.zst": zstandard.compress(b"1\n")}

    class Client:
        def get_object(self, Bucket, Key):  # noqa: N803
            assert Bucket == "lake"
            return {"Body": StreamingBody(io.BytesIO(objects[Key]), len(objects[Key]))}

        def get_paginator(self, name):
            assert name == "list_objects_v2"
            return self

        def paginate(self, Bucket, Prefix):  # noqa: N803
            yield {
                "Contents": [
                    {"Key": key, "Size": len(objects[key])} for key in sorted(objects) if key.startswith(Prefix)
                ]
            }
            yield {}

    monkeypatch.setattr(files, "_s3", Client)
    assert list(read_lines(["s3://lake/raw/"])) == [b"1", b"2"]
    assert list(read_lines(["s3://lake/raw"])) == [b"1", b"2"]
    assert list(read_lines(["s3://lake/raw/hh=01/b.ndjson.gz"])) == [b"2"]
    assert list(read_lines(["s3://lake"])) == [b"1", b"2"]
    with pytest.raises(SourceError, match="no object"):
        list(read_lines(["s3://lake/ra"]))
    with pytest.raises(SourceError, match="no object"):
        list(read_lines(["s3://lake/dead/"]))


def test_lines_may_be_read_twice_and_tell_where_they_are(tmp_path):
    (tmp_path / "a.ndjson").write_bytes(b"1\n" * 300)
    (tmp_path / "b.ndjson").write_bytes(b"2\n" * 100)
    lines = Lines([str(tmp_path)])
    assert lines.repeatable
    assert list(lines) == list(lines) == [b"1"] * 300 + [b"2"] * 100
    positions = [lines.position() for _ in lines]
    assert (positions[0], positions[199], positions[-1]) == ("0% of 2 files", "50% of 2 files", "100% of 2 files")
    assert not Lines(["-", str(tmp_path)]).repeatable


def test_a_missing_source_is_noticed_before_anything_is_read(tmp_path):
    (tmp_path / "a.ndjson").write_bytes(b"1\n")
    with pytest.raises(SourceError, match="nowhere"):
        Lines([str(tmp_path / "a.ndjson"), str(tmp_path / "nowhere")])


def test_a_line_without_end_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_LINE", 10)
    (tmp_path / "a").write_bytes(b"x" * 35 + b"\n" + b"short\n" + b"123456789\n" + b"1234567890\n" + b"end")
    lines = list(read_lines([str(tmp_path / "a")]))
    assert lines == [b"x" * 10, b"short", b"123456789", b"1234567890", b"end"]


@pytest.mark.integration
def test_a_real_s3_server(tmp_path, monkeypatch):
    with Storage(tmp_path) as server:
        for name, value in server.settings.environment.items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)
        client = boto3.Session().client("s3")
        client.create_bucket(Bucket="lake")
        long = [b"%d " % i + b"x" * 3000 for i in range(3_000)]
        client.put_object(Bucket="lake", Key="raw/hh=00/a.ndjson", Body=b"\n".join(long))
        client.put_object(Bucket="lake", Key="raw/hh=01/b.ndjson.zst", Body=zstandard.compress(b"1\n2\n"))
        client.put_object(Bucket="lake", Key="rawer.ndjson", Body=b"3\n")
        lines = Lines(["s3://lake/raw", "s3://lake/rawer.ndjson"])
        found, positions = [], set()
        for each in lines:
            found.append(each)
            positions.add(lines.position())
        assert found == [*long, b"1", b"2", b"3"]
        assert {"0% of 3 files", "50% of 3 files", "100% of 3 files"} <= positions
        with pytest.raises(SourceError, match="AWS_ENDPOINT_URL_S3"):
            Lines(["s3://nowhere/raw"])
