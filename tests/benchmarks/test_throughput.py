"""The tools around the throughput benchmarks: what they reckon from measurements and from unit costs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.stream_options import StreamConfig
from benchmarks.throughput import plots, report, runs, scale, starts
from benchmarks.throughput.baselines import make_baselines
from benchmarks.throughput.checkpoints import Checkpoints
from benchmarks.throughput.idle import growth
from benchmarks.throughput.latency import BURST_POSTS, Load, fits
from benchmarks.throughput.posts import PostWriter, word
from benchmarks.throughput.taps import Read
from detection.baselines import keyword_hashes
from detection.counts import WINDOW_SECONDS, WindowCounts
from detection.keyword_detector import KeywordDetector
from transforms.posts import decode_post

LOAD = scale.Load(posts_per_s=50_000, keywords=200_000, baselines=200_000)
MACHINES = scale.Machines(task_managers=4, cores=4, partitions=16, shards=32)


def share(load: scale.Load, machines: scale.Machines, of: str) -> float:
    return next(need.share for need in scale.needs(load, machines) if need.of == of)


def test_mentioned_keywords_are_counted_like_a_simulation_of_them():
    load = scale.Load(posts_per_s=3, keywords=2_000, baselines=0)
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, 2_001)
    drawn = rng.multinomial(3 * 900 * 12, chances / chances.sum(), size=50)
    for least in (1, 2):
        assert scale.mentioned(load, 900, least) == pytest.approx((drawn >= least).sum(axis=1).mean(), rel=0.01)


def test_needs_grow_with_what_comes_and_shrink_with_what_there_is():
    twice = replace(LOAD, posts_per_s=100_000)
    cores = "cores that have partitions to read"
    assert share(twice, MACHINES, cores) == pytest.approx(2 * share(LOAD, MACHINES, cores))
    assert share(LOAD, replace(MACHINES, partitions=2), cores) == pytest.approx(8 * share(LOAD, MACHINES, cores))
    panes = "a shard's time between two panes"
    assert share(LOAD, replace(MACHINES, shards=64), panes) == pytest.approx(share(LOAD, MACHINES, panes) / 2)
    memory = "memory of a Python worker"
    assert share(replace(LOAD, baselines=10_000_000), MACHINES, memory) > 1 > share(LOAD, MACHINES, memory)


def test_a_worker_takes_the_memory_that_was_measured():
    memory = "memory of a Python worker"
    measured = {0: 499 / 600, 1_000_000: 538 / 600}
    for baselines, least in measured.items():
        # Above what was measured only by the second table, which was not loaded then.
        assert least <= share(replace(LOAD, baselines=baselines), MACHINES, memory) < least + 0.06


def test_the_scarcest_comes_first(capsys: pytest.CaptureFixture[str]):
    small = ["--posts_per_s=1000", "--keywords=1000", "--task_managers=1"]
    assert scale.main([*small, "--json"]) == 0
    shares = [need["share"] for need in json.loads(capsys.readouterr().out)]
    assert shares == sorted(shares, reverse=True)
    assert scale.main(["--posts_per_s=1000000", "--keywords=1000", "--task_managers=1"]) == 1


def test_an_archive_of_few_posts_per_partition_is_written_many_times_over():
    posts_per_s = LOAD.posts_per_s * LOAD.post_bytes / scale.CONDENSED
    assert scale.archive_bytes_per_s(LOAD, 2) < 2 * posts_per_s
    assert scale.archive_bytes_per_s(LOAD, 2_000) > 20 * posts_per_s


def test_ratios_are_of_what_was_measured():
    results = [
        {"name": name, "steady_posts_per_s": rate}
        for name, rate in (("raw, 2 processes", 100), ("count, librdkafka", 60), ("full, librdkafka", 45))
    ]
    assert report.ratios(results) == {
        "count, librdkafka ÷ raw, 2 processes": 0.6,
        "full, librdkafka ÷ count, librdkafka": 0.75,
    }


def test_flatness_leaves_out_the_warm_up():
    points = [
        {"name": "full", "size": size, "steady_posts_per_s": rate} for size, rate in ((0, 5), (10, 80), (20, 100))
    ]
    assert report.flatness(points) == "full: lowest ÷ highest rate 0.80"


def test_checkpoints_as_flink_tells_them():
    answer = {
        "counts": {"completed": 2, "failed": 1},
        "summary": {"end_to_end_duration": {"avg": 1500, "max": 2000}, "state_size": {"max": 77}},
    }
    assert Checkpoints.parse(answer) == Checkpoints(2, 1, 1.5, 2.0, 77)
    answer["counts"]["completed"] = 0
    assert Checkpoints.parse(answer).largest_bytes == 0


def test_growth_is_seen_through_noise():
    assert growth([100, 101, 100, 99, 100, 101]) == pytest.approx(0, abs=0.02)
    assert growth(list(range(100, 400))) > 1
    with pytest.raises(ValueError, match="too few"):
        growth([1, 2])


def test_a_burst_lies_in_one_window():
    assert fits(10 * WINDOW_SECONDS + 5, 5_000)
    assert not fits(11 * WINDOW_SECONDS - 0.5, 5_000)
    assert not fits(11 * WINDOW_SECONDS - 60, 1)


def test_bursts_are_outliers_of_an_open_window_and_other_words_are_not():
    load = Load(posts_per_s=100, seconds=60, warm_up_seconds=10, bursts=5, vocabulary=500)
    table = make_baselines(load.vocabulary + load.bursts, load.vocabulary, load.posts_per_s * WINDOW_SECONDS)
    assert len(table) == load.vocabulary + load.bursts
    assert (table.find(keyword_hashes(load.keywords())) >= 0).all()
    usual = [word(i) for i in range(0, load.vocabulary, 50)]
    level = table.columns["level"][table.find(keyword_hashes(usual))]
    counts = np.concatenate([np.full(load.bursts, BURST_POSTS), np.maximum(level / 2, 1).astype(np.int64)])
    window = WindowCounts(WINDOW_SECONDS * 2_000_000, 3_000.0, (*load.keywords(), *usual), counts)
    detector = KeywordDetector()
    scores = detector.score(window, table, detector.new_state(), partial=True)
    assert scores.is_outlier.tolist() == [True] * load.bursts + [False] * len(usual)


def test_posts_are_posts():
    post = decode_post(PostWriter(10).post(3, "w1q w2q", 1_700_000_000_123), 1_700_000_000_123)
    assert (post.item.text, post.time_stamp) == ("w1q w2q", 1_700_000_000.123)


def test_plots_are_drawn(tmp_path: Path):
    reads = [Read(0.0, 1.0, 10), Read(1.0, 9.0, 30)]
    result = {"name": "count", "slices": report.slices(reads), "steady_posts_per_s": 4, "size": 10}
    result |= {"peak_rss_mb_of_one": {"python workers": 5}, "seconds": [3.0, 1.0], "p95_seconds": 3.0, "posts_per_s": 5}
    plots.suite([result], {"a ÷ b": 0.5}, tmp_path / "suite.png")
    plots.series([result], "keywords", tmp_path / "series.png")
    plots.latency(result, tmp_path / "latency.png")
    assert all((tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG" for name in ("suite", "series", "latency"))


@pytest.mark.parametrize(("source", "timeout"), [("kafkaio", False), ("librdkafka", True)])
def test_a_start_is_given_what_its_source_takes(source: str, timeout: bool, monkeypatch: pytest.MonkeyPatch):
    given: list[str] = []

    def measure(_: int, __: str, options: Sequence[str]) -> list[float]:
        given.extend(options)
        return []

    monkeypatch.setattr(starts, "measure", measure)
    assert starts.main(["--starts=1", f"--source={source}"]) == 0
    assert ("--idle_partition_timeout=1" in given) == timeout
    options = PipelineOptions([f"--source={source}", "--lake=s3://lake", *given])
    assert StreamConfig.of(options).source == source


def test_why_a_stream_did_not_start_is_shown():
    lines = "\\n".join(f"line {i}" for i in range(100))
    with pytest.raises(runs.NotSubmittedError) as raised:
        runs.submit([sys.executable, "-c", f"import sys; sys.exit('{lines}')"])
    told = str(raised.value)
    assert "code 1" in told
    assert told.endswith("line 99")
    assert "line 79" not in told
