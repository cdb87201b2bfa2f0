"""The command that sends posts, and real brokers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from datetime import UTC, date, datetime

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from feed.delivery import Config, Report
from feed.produce import main, parse_arguments, produce
from feed.simulation import Config as SimulationConfig
from feed.simulation import Simulation
from feed.stamping import Time
from feed.topic import BrokerError, TopicConfig, choose_compression
from local.settings import ROOT
from tests.feed.servers import Broker


def line(post_id, time_stamp=5.0):
    return msgspec.json.encode({"itemInfos": {"id": str(post_id)}, "time_stamp": time_stamp})


def test_command_line_over_environment(monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:1")
    monkeypatch.setenv("TOPIC_POSTS", "")
    options = parse_arguments(["a", "b", "--time", "shift", "--shift_to", "2025-01-01", "--speedup", "60"])
    assert options.sources == ["a", "b"]
    assert options.topic == TopicConfig("kafka:1", "posts", 2)
    assert options.config.time is Time.SHIFT
    assert options.shift_to == datetime(2025, 1, 1, tzinfo=UTC)
    assert options.config.speedup == 60
    assert not options.shift_given


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("-36h", -129_600), ("1.5d", 129_600), ("2m", 120)])
def test_durations(text, seconds):
    options = parse_arguments(["a", "--time", "shift", f"--shift_by={text}"])
    assert options.shift_given
    assert options.config.shift == seconds


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["a", "--rate", "0"],
        ["a", "--rate", "1", "--speedup", "1"],
        ["a", "--shift_to", "2025-01-01"],
        ["a", "--shift_by", "1d"],
        ["a", "--time", "shift", "--shift_by", "1w"],
        ["a", "--time", "soon"],
        ["a", "--partitions", "0"],
        ["a", "--topic", "my posts"],
    ],
)
def test_senseless_options_end_with_one_line(options, capsys):
    with pytest.raises(SystemExit) as exit_:
        parse_arguments(options)
    assert exit_.value.code == 2
    assert "error:" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--time", "soon"], "'keep', 'now', 'create_time', 'shift'"),
        (["--time", "shift", "--shift_to", "yesterday"], "'yesterday' is no time: expected now or ISO 8601"),
    ],
)
def test_a_bad_value_is_told_what_is_expected(options, says, capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["a", *options])
    assert says in capsys.readouterr().err


def test_no_broker_is_one_line_that_names_the_setting(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("feed.topic._CONNECT_MS", 300)
    source = tmp_path / "posts.ndjson"
    source.write_bytes(line(1))
    assert main([str(source), "--bootstrap_servers", "127.0.0.1:1"]) == 2
    message = capsys.readouterr().err.splitlines()
    assert len(message) == 1
    assert "KAFKA_BOOTSTRAP_SERVERS" in message[0]
    assert "make up" in message[0]


def test_a_missing_file_is_one_line(capsys):
    assert main(["/nowhere/posts.ndjson"]) == 2
    assert capsys.readouterr().err == "feed.produce: cannot read /nowhere/posts.ndjson: No such file or directory\n"


def test_standard_input_cannot_be_read_twice(capsys):
    assert main(["-", "--time", "shift"]) == 2
    assert "--shift_by" in capsys.readouterr().err


def test_compression():
    assert choose_compression("none") is None
    assert choose_compression("gzip") == "gzip"
    assert choose_compression("auto") in {"lz4", "zstd", "gzip"}
    with pytest.raises(BrokerError, match="not available"):
        choose_compression("snappy")


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """A broker that runs; tests use topics of their own."""
    with Broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def topic(broker):
    return TopicConfig(broker.servers, f"posts-{uuid.uuid4().hex[:8]}")


def records_of(topic):
    """Return all records of a topic, in the order of offsets within each partition."""
    consumer = KafkaConsumer(bootstrap_servers=topic.servers, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic.name, number) for number in consumer.partitions_for_topic(topic.name)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        records = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for batch in consumer.poll(timeout_ms=500).values():
                records += batch
        return records
    finally:
        consumer.close()


def topics_of(servers):
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        return admin.list_topics()
    finally:
        admin.close()


def command(topic, *arguments):
    return [
        sys.executable, "-m", "feed.produce", "--bootstrap_servers", topic.servers, "--topic", topic.name, *arguments,
    ]  # fmt: skip


@pytest.mark.integration
def test_posts_arrive_in_kafka_byte_for_byte(topic, tmp_path):
    simulation = Simulation(SimulationConfig(date=date(2024, 6, 5), posts=2_000, share_unreadable=0.01))
    lines = list(simulation.lines())
    report = produce(lines, topic, Config(rejects=tmp_path / "rejects", send_unreadable=True))
    records = records_of(topic)
    assert report.delivered == report.records == len(lines) == len(records)
    assert report.unreadable_sent > 0
    assert Counter(record.value for record in records) == Counter(lines)
    assert {record.partition for record in records} == {0, 1}
    for record in records:
        if record.key is not None:
            post = msgspec.json.decode(record.value)
            assert record.key.decode() == post["itemInfos"]["id"]
            assert record.timestamp == round(post["time_stamp"] * 1000)


@pytest.mark.integration
def test_a_new_topic_keeps_old_posts_and_an_existing_one_is_checked(broker, topic, tmp_path):
    warnings = []
    config = Config(rejects=tmp_path / "rejects")
    produce([line(1, 1_600_000_000)], topic, config, warn=warnings.append)
    assert warnings == []
    admin = KafkaAdminClient(bootstrap_servers=topic.servers)
    other = TopicConfig(topic.servers, f"{topic.name}-week")
    admin.create_topics(
        {other.name: {"num_partitions": 1, "configs": {"retention.ms": "604800000"}}}, wait_for_metadata=True
    )
    admin.close()
    produce([line(1, 1_600_000_000)], other, config, warn=warnings.append)
    assert len(warnings) == 1
    assert "older than 7 days" in warnings[0]


@pytest.mark.integration
def test_a_shifted_source_ends_where_it_should(topic, tmp_path, capsys):
    source = tmp_path / "posts.ndjson"
    source.write_bytes(b"\n".join(line(i, 1000 + 60 * i) for i in (1, 3, 2)) + b"\nnonsense\n")
    arguments = command(topic, "--time", "shift", "--shift_to", "2024-06-05T12:00", "--rejects", str(tmp_path / "r"))
    assert main([*arguments[3:], str(source)]) == 0
    assert sorted(record.timestamp for record in records_of(topic)) == [
        1_717_588_680_000,
        1_717_588_740_000,
        1_717_588_800_000,
    ]
    message = capsys.readouterr().err
    assert "3 posts, 1 rejected" in message
    assert "1 not_json" in message


@pytest.mark.integration
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_of_the_broker_loses_and_doubles_nothing(broker, topic, tmp_path, how):
    sent = 4_000
    padding = {"signature": os.urandom(1500).hex()}  # so that the broker, not only the client, is busy all along
    # Of these days: a restarted broker forgets a producer whose newest record has a timestamp of more than a day ago, and
    # may then take a batch twice.
    newest = int(time.time())
    lines = [
        msgspec.json.encode({"authorInfos": padding, "itemInfos": {"id": str(i)}, "time_stamp": newest - sent + i})
        for i in range(1, sent + 1)
    ]
    report = Report()
    failure = []

    def restart():
        while report.sent < sent // 4 and not failure:
            time.sleep(0.01)
        broker.stop(how)
        time.sleep(2)
        broker.start()

    def send():
        try:
            produce(lines, topic, Config(rejects=tmp_path / "r", rate=1_000), report)
        except BrokerError as error:
            failure.append(error)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    restart()
    sender.join(120)
    assert not sender.is_alive()
    assert failure == []
    assert report.delivered == sent
    assert Counter(record.key for record in records_of(topic)) == Counter(str(i).encode() for i in range(1, sent + 1))


@pytest.mark.integration
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_what_was_delivered(topic, tmp_path, how, code):
    source = tmp_path / "posts.ndjson"
    source.write_bytes(b"\n".join(line(i) for i in range(1, 10_001)))
    process = subprocess.Popen(
        command(topic, "--rate", "500", "--rejects", str(tmp_path / "r"), str(source)),
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while topic.name not in topics_of(topic.servers):
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(how)
    _, message = process.communicate(timeout=60)
    assert process.returncode == code
    records = records_of(topic)
    assert 0 < len(records) < 10_000
    assert f"interrupted: {len(records):,} posts" in message
    assert "all acknowledged" in message
    assert "Traceback" not in message


@pytest.mark.integration
def test_a_broker_that_stays_away_is_waited_for_until_interrupted(tmp_path_factory, tmp_path):
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    topic = TopicConfig(broker.servers, "posts")
    source = tmp_path / "posts.ndjson"
    source.write_bytes(b"\n".join(line(i) for i in range(1, 10_001)))
    process = subprocess.Popen(
        command(topic, "--rate", "500", "--rejects", str(tmp_path / "r"), str(source)),
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while not (topics_of(broker.servers) and records_of(topic)):  # it is sending
            time.sleep(0.1)
    finally:
        broker.stop(signal.SIGKILL)
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "acknowledged by Kafka" in message
    assert "Traceback" not in message
