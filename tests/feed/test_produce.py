"""Producing: what is sent, rejected and reported."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from feed.files import SourceError
from feed.produce import Config, main, parse_arguments, produce, send_all
from feed.simulation import Config as SimulationConfig
from feed.simulation import Simulation
from feed.stamping import Time
from feed.topic import BrokerError, choose_compression


class Sink:
    def __init__(self, interrupt_at=None):
        self.records = []
        self.flushed = 0
        self.interrupt_at = interrupt_at

    def send(self, value, key, timestamp_ms):
        if len(self.records) == self.interrupt_at:
            raise KeyboardInterrupt
        self.records.append((value, key, timestamp_ms))

    def flush(self):
        self.flushed += 1


def line(post_id, time_stamp):
    return msgspec.json.encode({"itemInfos": {"id": str(post_id)}, "time_stamp": time_stamp})


def test_key_timestamp_and_value(tmp_path):
    sink = Sink()
    report = send_all([line(7, 12.345)], sink, Config(rejects=tmp_path / "rejects"))
    assert sink.records == [(line(7, 12.345), b"7", 12_345)]
    assert (report.sent, report.rejected, report.bytes) == (1, 0, len(line(7, 12.345)))
    assert sink.flushed == 1
    assert not (tmp_path / "rejects").exists()


def test_the_record_timestamp_is_exact_to_the_millisecond(tmp_path):
    stamps = [1_700_000_000 + i / 1000 for i in range(2000)]
    sink = Sink()
    send_all([line(i + 1, stamp) for i, stamp in enumerate(stamps)], sink, Config(rejects=tmp_path / "r"))
    assert [timestamp for *_, timestamp in sink.records] == [1_700_000_000_000 + i for i in range(2000)]


def test_unreadable_lines_go_to_the_rejects(tmp_path):
    sink = Sink()
    rejects = tmp_path / "new" / "rejects.ndjson"
    report = send_all([b"nonsense", line(1, 5), b"\xff\xfe"], sink, Config(rejects=rejects))
    assert rejects.read_bytes() == b"nonsense\n\xff\xfe\n"
    assert (report.sent, report.unreadable_sent, report.rejected) == (1, 0, 2)


def test_unreadable_lines_can_be_sent_as_they_are(tmp_path):
    sink = Sink()
    config = Config(rejects=tmp_path / "rejects", send_unreadable=True)
    report = send_all([line(1, 5), b"nonsense", line(2, 6)], sink, config)
    assert sink.records[1] == (b"nonsense", None, 5_000)
    assert (report.sent, report.unreadable_sent, report.rejected) == (2, 1, 0)
    assert report.bytes == sum(len(value) for value, *_ in sink.records)


def test_an_interrupt_flushes_and_reports(tmp_path):
    sink = Sink(interrupt_at=3)
    report = send_all([line(i, 5) for i in range(1, 10)], sink, Config(rejects=tmp_path / "r"))
    assert report.interrupted
    assert report.sent == 3
    assert sink.flushed == 1


def test_a_source_that_fails_leaves_what_was_sent_safe(tmp_path):
    def lines():
        yield line(1, 5)
        msg = "cannot read x"
        raise SourceError(msg)

    sink = Sink()
    with pytest.raises(SourceError):
        send_all(lines(), sink, Config(rejects=tmp_path / "r"))
    assert sink.flushed == 1


def test_rejected_are_exactly_the_unreadable_ones_of_a_simulation(tmp_path):
    simulation = Simulation(SimulationConfig(date=date(2024, 6, 5), posts=500, events=0, share_unreadable=0.2))
    lines = list(simulation.lines())
    clean = SimulationConfig(date=date(2024, 6, 5), posts=500, events=0, share_unreadable=0)
    report = send_all(lines, Sink(), Config(rejects=tmp_path / "r"))
    assert report.sent + report.rejected == len(lines)
    assert 50 < report.rejected < 170
    assert send_all(Simulation(clean).lines(), Sink(), Config(rejects=tmp_path / "r")).rejected == 0


def test_command_line_over_environment(monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:1")
    monkeypatch.setenv("TOPIC_POSTS", "")
    sources, config = parse_arguments(["a", "b", "--time", "shift", "--shift_to", "2025-01-01", "--speedup", "60"])
    assert sources == ["a", "b"]
    assert (config.servers, config.topic) == ("kafka:1", "posts")
    assert config.time is Time.SHIFT
    assert config.shift_to == datetime(2025, 1, 1, tzinfo=UTC)
    assert config.speedup == 60


@pytest.mark.parametrize(
    "options",
    [["--rate", "0"], ["--rate", "1", "--speedup", "1"], ["--shift_to", "2025-01-01"], ["--time", "soon"], []],
)
def test_senseless_options_end_with_one_line(options, capsys):
    with pytest.raises(SystemExit) as exit_:
        parse_arguments([*(["a"] if options else []), *options])
    assert exit_.value.code == 2
    assert "error:" in capsys.readouterr().err.splitlines()[-1]


def test_no_broker_is_one_line_that_names_the_setting(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("feed.topic._CONNECT_MS", 300)
    source = tmp_path / "posts.ndjson"
    source.write_bytes(line(1, 5))
    assert main([str(source), "--bootstrap_servers", "127.0.0.1:1"]) == 2
    message = capsys.readouterr().err.splitlines()
    assert len(message) == 1
    assert "KAFKA_BOOTSTRAP_SERVERS" in message[0]
    assert "make up" in message[0]


def test_compression():
    assert choose_compression("none") is None
    assert choose_compression("gzip") == "gzip"
    assert choose_compression("auto") in {"lz4", "zstd", "gzip"}
    with pytest.raises(BrokerError, match="not available"):
        choose_compression("snappy")


@pytest.mark.integration
def test_posts_arrive_in_kafka(stack, tmp_path: Path):
    servers = stack.environment["KAFKA_BOOTSTRAP_SERVERS"]
    topic = f"feed-test-{uuid.uuid4().hex[:8]}"
    simulation = Simulation(SimulationConfig(date=date(2024, 6, 5), posts=2_000, share_unreadable=0.01))
    lines = list(simulation.lines())
    config = Config(servers=servers, topic=topic, rejects=tmp_path / "rejects", send_unreadable=True)
    admin = KafkaAdminClient(bootstrap_servers=servers)
    consumer = KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        report = produce(lines, config)
        partitions = [TopicPartition(topic, number) for number in (0, 1)]
        assert consumer.partitions_for_topic(topic) == {0, 1}
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        records = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for batch in consumer.poll(timeout_ms=1000).values():
                records += batch
    finally:
        consumer.close()
        admin.delete_topics([topic])
        admin.close()
    assert report.sent + report.unreadable_sent == len(lines) == len(records)
    assert report.unreadable_sent > 0
    assert sorted(record.value for record in records) == sorted(lines)
    for record in records:
        if record.key is not None:
            post = msgspec.json.decode(record.value)
            assert record.key.decode() == post["itemInfos"]["id"]
            assert abs(record.timestamp - post["time_stamp"] * 1000) < 1
