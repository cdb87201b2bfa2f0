"""What the peers tell and leave, as it is read: their engines are not started here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.throughput import report
from benchmarks.throughput.checksum import checksum
from benchmarks.throughput.peers.engine import PEERS, parse_progress, total_checksum
from benchmarks.throughput.runs import PEER_SUITE, steady_rate
from benchmarks.throughput.taps import Read

WINDOW = 1_700_000_100


def test_progress_is_read_in_the_order_of_its_ends() -> None:
    lines = [
        "26/01/02 INFO an engine's own line",
        '{"began": 12.000, "ended": 14.500, "posts": 300}',
        '{"began": 10.000, "ended": 12.000, "posts": 200}',
        "",
    ]
    assert parse_progress(lines) == [Read(10.0, 12.0, 200), Read(12.0, 14.5, 300)]


def test_the_steady_rate_of_micro_batches_is_that_of_the_middle() -> None:
    lines = [
        f'{{"began": {at}.0, "ended": {at + 1}.0, "posts": {posts}}}' for at, posts in enumerate([10, 40, 40, 40, 10])
    ]
    assert steady_rate(parse_progress(lines)) == pytest.approx(40)


def _write(path: Path, *counts: tuple[int, str, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'{{"window_start":{start},"word":"{word}","posts":{posts}}}\n' for start, word, posts in counts]
    path.write_text("".join(lines), encoding="utf-8")


def test_counts_of_all_files_make_one_checksum(tmp_path: Path) -> None:
    _write(tmp_path / "counts" / "part-0", (WINDOW, "w1q", 3), (WINDOW + 900, "w1q", 5))
    _write(tmp_path / "open" / "part-1.json", (WINDOW, "w2q", 4))
    expected = checksum(WINDOW, [("w1q", 3), ("w2q", 4)]) + checksum(WINDOW + 900, [("w1q", 5)])
    assert total_checksum(tmp_path) == expected
    _write(tmp_path / "open" / "part-1.json", (WINDOW, "w2q", 3))
    assert total_checksum(tmp_path) != expected


def test_an_engines_own_books_are_no_counts(tmp_path: Path) -> None:
    _write(tmp_path / "counts" / "part-0", (WINDOW, "w1q", 3))
    expected = total_checksum(tmp_path)
    _write(tmp_path / "counts" / ".part-1.inprogress", (WINDOW, "w1q", 3))
    _write(tmp_path / "counts" / "_spark_metadata" / "part-2", (WINDOW, "w1q", 3))
    _write(tmp_path / "checkpoint" / "state" / "1.delta", (WINDOW, "w1q", 3))
    assert total_checksum(tmp_path) == expected


def test_ratios_are_ours_over_each_peers() -> None:
    rates = {"count, kafkaio": 30_000, "count, librdkafka": 90_000, "flink-sql": 40_000, "spark": 20_000}
    ratios = report.ratios([{"name": name, "steady_posts_per_s": rate} for name, rate in rates.items()])
    assert ratios == {
        "count, kafkaio ÷ flink-sql": 0.75,
        "count, librdkafka ÷ flink-sql": 2.25,
        "count, kafkaio ÷ spark": 1.5,
        "count, librdkafka ÷ spark": 4.5,
    }


def test_every_peer_has_a_program_and_a_place_in_the_suite() -> None:
    assert {contender.variant for contender in PEER_SUITE} == {"raw", "count", *PEERS}
    assert all((peer.project / "pom.xml").is_file() for peer in PEERS.values())
