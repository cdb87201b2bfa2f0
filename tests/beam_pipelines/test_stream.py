"""The main job on a file, without a server; its options."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import pytest
import zstandard
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that

from beam_pipelines import stream
from beam_pipelines.stream import Place, build, source_of
from beam_pipelines.stream_options import StreamConfig, StreamOptions
from programs.errors import UserError, start
from transforms import lake
from transforms.archive import read_object, without_repeats
from transforms.outliers import ScoredWindow
from transforms.sources.placement import Reader

START = 1_600_000_200  # 2020-09-13T12:30:00Z
BAD = [b"{broken", b"\xff\xfe", b"", json.dumps({"itemInfos": {}, "time_stamp": START + 5}).encode()]


def post(post_id: int, text: str, time_stamp: float, likes: int = 0) -> bytes:
    return json.dumps(
        {"itemInfos": {"id": str(post_id), "text": text, "diggCount": likes}, "time_stamp": time_stamp}
    ).encode()


def lines() -> list[bytes]:
    """Two windows; in the second ``dance`` is mentioned far more often than its history knows."""
    calm = [post(i, "#dance ramen", START + i * 10) for i in range(1, 5)]
    wild = [post(100 + i, "Dance! ramen" if i < 4 else "DANCE", START + 900 + i, likes=i) for i in range(40)]
    return [*calm[:2], *BAD, *calm[2:], *wild]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "posts.ndjson").write_bytes(b"\n".join(lines()) + b"\n")
    rows = [
        f"{word},2020-09-{day:02d}T{hour:02d}:{minute:02d}:00Z,{4 + (hour + minute // 15) % 2}"
        for word in ("dance", "ramen")
        for day in (11, 12)
        for hour in range(24)
        for minute in (0, 15, 30, 45)
    ]
    (tmp_path / "history.csv").write_text("\n".join(["keyword,window_start,mentions", *rows]) + "\n")
    return tmp_path


def config(*argv: str) -> StreamConfig:
    return StreamConfig.of(PipelineOptions(list(argv)).view_as(StreamOptions))


def on_files(files: Path) -> list[str]:
    return [
        f"--input={files / 'posts.ndjson'}",
        f"--history={files / 'history.csv'}",
        f"--lake={files / 'lake'}",
        "--shards=3",
        "--detector=threshold",
    ]


def test_a_file_is_counted_scored_and_archived(files):
    def same(windows: list[ScoredWindow]) -> None:
        counts = {
            (word, w.window.counts.window_start): int(n)
            for w in windows
            for word, n in zip(w.window.counts.words(), w.window.counts.mentions, strict=True)
        }
        assert counts == {
            ("dance", START): 4,
            ("ramen", START): 4,
            ("dance", START + 900): 40,
            ("ramen", START + 900): 4,
        }
        totals = sorted((w.window.counts.window_start - START, w.window.shard, w.window.counts.posts) for w in windows)
        assert totals == [(start, shard, posts) for start, posts in ((0, 4), (900, 40)) for shard in range(3)]
        (outlier,) = [outlier for w in windows for outlier in w.outliers]
        assert (outlier.keyword, outlier.window_start, outlier.mentions) == ("dance", START + 900, 40)
        assert (outlier.status, outlier.severity, outlier.expected) == ("confirmed", "critical", 4.5)
        assert outlier.sample_posts == [139, 138, 137]

    with TestPipeline() as pipeline:
        assert_that(build(pipeline, config(*on_files(files))), same)

    root = files / "lake"
    runs = [read_object(url, lake.get(url)) for url in lake.find(str(root / "raw"))]
    assert list(without_repeats(runs)) == lines()

    dead = [json.loads(line) for url in lake.find(str(root / "dead")) for line in lake.get(url).splitlines()]
    assert [(letter["reason"], letter["offset"]) for letter in dead] == [
        ("not_json", 2),
        ("not_utf8", 3),
        ("empty", 4),
        ("bad_id", 5),
    ]
    assert dead[0]["raw"] == "{broken"
    assert dead[1]["raw_base64"] == "//4="

    (url,) = lake.find(str(root / "outliers"))
    assert "dt=2020-09-13/hh=12" in url
    (line,) = lake.get(url).splitlines()
    assert msgspec.json.decode(line)["keyword"] == "dance"


def test_run_prints_the_outliers_and_a_second_run_overwrites(files, capfd):
    argv = [*on_files(files)]
    assert stream.run(argv) == 0
    first = sorted(lake.find(str(files / "lake")))
    (line,) = capfd.readouterr().out.splitlines()
    assert json.loads(line)["keyword"] == "dance"
    assert stream.run(argv) == 0
    assert sorted(lake.find(str(files / "lake"))) == first


def test_without_history_nothing_is_unusual(files, capfd):
    assert stream.run([f"--input={files / 'posts.ndjson'}", f"--lake={files / 'lake'}"]) == 0
    assert capfd.readouterr().out == ""
    assert list(lake.find(str(files / "lake" / "raw")))


def test_a_time_stamp_beyond_all_dates_is_a_dead_letter(tmp_path):
    path = tmp_path / "x.ndjson"
    path.write_bytes(b"\n".join([post(1, "dance", START), post(2, "dance", 1e300), post(3, "dance", START + 1)]))
    assert stream.run([f"--input={path}", f"--lake={tmp_path / 'lake'}"]) == 0
    (url,) = lake.find(str(tmp_path / "lake" / "dead"))
    assert json.loads(lake.get(url))["reason"] == "future_time_stamp"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--shards=0"], "--shards"),
        (["--shards=1025"], "--shards"),
        (["--source=librdkafka", "--max_out_of_orderness=-1"], "--max_out_of_orderness"),
        (["--source=librdkafka", "--idle_partition_timeout=0.5"], "--idle_partition_timeout"),
        (["--source=librdkafka", "--readers=-1"], "--readers"),
        (["--idle_partition_timeout=5"], "--idle_partition_timeout goes with --source=librdkafka"),
        (["--early_firing_seconds=-1"], "--early_firing_seconds"),
        (["--allowed_lateness_seconds=-1"], "--allowed_lateness_seconds"),
        (["--allowed_lateness_seconds=20701"], "--allowed_lateness_seconds"),
        (["--baselines_every_seconds=0.5"], "--baselines_every_seconds"),
        (["--min_mentions=0"], "--min_mentions"),
        (["--history=x.csv"], "--history"),
        (["--input=no/such/file"], "--input"),
        (["--lake=folder"], "--lake"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(argv, message):
    with pytest.raises(UserError, match=f"^{message}"):
        config("--lake=s3://b", *argv)


def test_defaults(monkeypatch, files):
    monkeypatch.setenv("LAKE", "s3://mine/below/")
    assert config().lake == "s3://mine/below"
    assert config().allowed_lateness_seconds == 900
    assert (config().source, config("--source=librdkafka").max_out_of_orderness) == ("kafkaio", 5.0)
    assert config(f"--input={files / 'posts.ndjson'}").lake == "build/lake"
    assert config(f"--input={files / 'posts.ndjson'}").early_firing_seconds == 0


def test_there_are_as_many_readers_as_parallel_tasks_unless_told_otherwise():
    def readers(*argv: str) -> list[bytes]:
        source = source_of(config("--lake=s3://b", "--source=librdkafka", *argv), Place(parallelism=3))
        return [reader.index for reader in map(Reader.named, source.names())]

    assert readers() == [0, 1, 2]
    assert readers("--readers=5") == [0, 1, 2, 3, 4]


def test_kafka_needs_flink_and_a_file_the_direct_runner(files, monkeypatch):
    # The defaults need the job server, which may not be built.
    monkeypatch.setattr(stream.flink, "with_defaults", lambda argv, *_, **__: list(argv))
    with pytest.raises(UserError, match="--runner=FlinkRunner"):
        stream.run(["--lake=s3://b"])
    with pytest.raises(UserError, match="--input runs on the DirectRunner"):
        stream.run(["--runner=FlinkRunner", *on_files(files)])


def test_a_users_error_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        start(stream.run, ["--input=no/such/file"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: --input=no/such/file: no such file\n"


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_compressed_file_is_refused(tmp_path, compress):
    path = tmp_path / "day.ndjson"
    path.write_bytes(compress(b"{}\n"))
    with pytest.raises(UserError, match="is compressed: unpack it first"):
        stream.run([f"--input={path}"])


def test_a_job_in_this_program_cannot_be_left_running():
    with pytest.raises(UserError, match="--detach leaves a job on a cluster"):
        stream.run(["--runner=FlinkRunner", "--flink_master=[local]", "--detach", "--lake=s3://b"])
