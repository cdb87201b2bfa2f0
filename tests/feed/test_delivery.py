"""Delivery: what is sent, rejected, warned of and reported."""

from __future__ import annotations

import os
import signal
import time
from datetime import date
from pathlib import Path

import msgspec
import pytest

from feed.delivery import Config, Report, deliver
from feed.files import SourceError, read_lines
from feed.simulation import Config as SimulationConfig
from feed.simulation import Simulation
from feed.stamping import MAX_POST_BYTES, Reason, Time
from feed.topic import BrokerError
from transforms.posts import Rejected, decode_post


class Sink:
    """Takes records; ``on_send`` is called with the number of each before it is taken."""

    def __init__(self, retention_ms=-1, broker_times=False, on_send=None):
        self.records = []
        self.flushed = []
        self.retention_ms = retention_ms
        self.broker_times = broker_times
        self.on_send = on_send
        self.delivered = 0

    def make_room(self):
        pass

    def send(self, value, key, timestamp_ms):
        if self.on_send:
            self.on_send(len(self.records))
        self.records.append((value, key, timestamp_ms))

    def flush(self, seconds=None):
        self.flushed.append(seconds)
        self.delivered = len(self.records)


def line(post_id, time_stamp=5.0):
    return msgspec.json.encode({"itemInfos": {"id": str(post_id)}, "time_stamp": time_stamp})


@pytest.fixture
def run(tmp_path):
    def run(lines, sink=None, warn=lambda _: None, **config):
        report = Report()
        config.setdefault("rejects", tmp_path / "rejects")
        deliver(lines, sink or Sink(), Config(**config), report, warn=warn)
        return report

    return run


def test_key_timestamp_and_value(run, tmp_path):
    sink = Sink()
    report = run([line(7, 12.345)], sink)
    assert sink.records == [(line(7, 12.345), b"7", 12_345)]
    assert (report.sent, report.delivered, report.bytes) == (1, 1, len(line(7, 12.345)))
    assert len(sink.flushed) == 1
    assert not (tmp_path / "rejects").exists()


def test_the_record_timestamp_is_exact_to_the_millisecond(run):
    stamps = [1_700_000_000 + i / 1000 for i in range(2000)]
    sink = Sink()
    run([line(i + 1, stamp) for i, stamp in enumerate(stamps)], sink)
    assert [timestamp for *_, timestamp in sink.records] == [1_700_000_000_000 + i for i in range(2000)]


def test_an_injected_time_is_the_record_s_too(run):
    sink = Sink()
    run([line(1, 5.5)], sink, time=Time.SHIFT, shift=1000)
    ((value, _, timestamp),) = sink.records
    assert timestamp == 1_005_500
    assert msgspec.json.decode(value)["time_stamp"] == 1005.5


@pytest.mark.parametrize("pace", [{"speedup": 1.0}, {"rate": 2.0}])
def test_now_is_the_time_of_sending_after_all_waiting(run, pace):
    sink = Sink()
    began = time.time()
    run([line(1, 5.0), line(2, 5.5)], sink, time=Time.NOW, **pace)
    value, _, timestamp = sink.records[1]
    assert began + 0.49 < timestamp / 1000 <= time.time() + 0.001  # the record's time is rounded to milliseconds
    assert msgspec.json.decode(value)["time_stamp"] == timestamp / 1000


def test_unreadable_lines_are_kept_and_counted_by_reason(run, tmp_path):
    rejects = tmp_path / "new" / "rejects.ndjson"
    report = run([b"nonsense", line(1), b"\xff\xfe", line("x"), b"[]", line(0)], rejects=rejects)
    assert rejects.read_bytes().split(b"\n") == [b"nonsense", b"\xff\xfe", line("x"), b"[]", line(0), b""]
    assert report.sent == report.delivered == 1
    assert report.rejected == {Reason.NOT_JSON: 1, Reason.NOT_UTF8: 1, Reason.BAD_ID: 2, Reason.NOT_AN_OBJECT: 1}


def test_rejects_of_another_run_stay_as_they_are(run, tmp_path):
    rejects = tmp_path / "rejects.ndjson"
    first = run([b"nonsense", line(1)], rejects=rejects)
    fixed = line(7)
    rejects.write_bytes(b"nonsense\n" * 300_000 + fixed + b"\n")  # more than a reader holds
    sink = Sink()
    again = run(read_lines([str(tmp_path)]), sink, rejects=rejects)
    assert (first.rejects, again.rejects) == (rejects, tmp_path / "rejects-2.ndjson")
    assert [value for value, *_ in sink.records] == [fixed]
    assert rejects.read_bytes().endswith(fixed + b"\n")
    assert run([b"[]"], rejects=rejects).rejects == tmp_path / "rejects-3.ndjson"
    assert len((tmp_path / "rejects-2.ndjson").read_bytes()) == 9 * 300_000


def test_rejects_can_go_to_a_device(run):
    assert str(run([b"nonsense"], rejects=Path(os.devnull)).rejects) == os.devnull


def test_unreadable_lines_can_be_sent_with_the_time_of_the_post_before(run):
    sink = Sink()
    report = run([line(1, 5), b"nonsense", line(2, 6), b"[]"], sink, send_unreadable=True)
    assert sink.records[1] == (b"nonsense", None, 5_000)
    assert sink.records[3] == (b"[]", None, 6_000)
    assert (report.sent, report.unreadable_sent, report.delivered) == (2, 2, 4)
    assert report.bytes == sum(len(value) for value, *_ in sink.records)
    assert not report.rejected


def test_unreadable_lines_before_the_first_post_do_not_run_ahead_of_it(run):
    sink = Sink()
    run([b"a", b"b", line(1, 5), b"c"], sink, send_unreadable=True)
    assert [(value, timestamp) for value, _, timestamp in sink.records] == [
        (b"a", 5_000), (b"b", 5_000), (line(1, 5), 5_000), (b"c", 5_000),
    ]  # fmt: skip


def test_nothing_but_unreadable_lines_is_sent_too(run):
    sink = Sink()
    began = time.time()
    assert run([b"a", b"b"], sink, send_unreadable=True).delivered == 2
    assert all(timestamp >= began * 1000 - 1 for *_, timestamp in sink.records)


def test_what_kafka_would_not_take_is_kept_back(run, tmp_path):
    large = line(1)[:-1] + b',"text":"' + b"x" * MAX_POST_BYTES + b'"}'
    sink = Sink()
    report = run([line(1), large, line(2)], sink, send_unreadable=True)
    assert [key for _, key, _ in sink.records] == [b"1", b"2"]
    assert report.rejected == {Reason.TOO_LARGE: 1}
    assert (tmp_path / "rejects").read_bytes() == large + b"\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_post_is_sent_waits_until_it_is_counted(run, number):
    sink = Sink(on_send=lambda count: count == 3 and os.kill(os.getpid(), number))
    report = run([line(i) for i in range(1, 10)], sink)
    assert report.interrupted is number
    assert len(sink.records) == report.sent == report.delivered == 4
    assert sink.flushed == [15.0]


def test_a_signal_ends_waiting_for_lines_at_once(run):
    def lines():
        yield line(1)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
        yield line(2)

    report = run(lines())
    assert report.interrupted is signal.SIGINT
    assert report.delivered == 1


def test_a_second_signal_ends_the_flush(tmp_path):
    class Stuck(Sink):
        def flush(self, seconds=None):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)

    sink = Stuck(on_send=lambda count: os.kill(os.getpid(), signal.SIGINT))
    report = Report()
    with pytest.raises(KeyboardInterrupt):
        deliver([line(1), line(2)], sink, Config(rejects=tmp_path / "r"), report)
    assert (report.sent, report.delivered) == (1, 0)


def test_signals_are_as_before_afterwards(run):
    before = signal.getsignal(signal.SIGINT)
    run([line(1)])
    assert signal.getsignal(signal.SIGINT) is before


def test_a_source_that_fails_leaves_what_was_sent_safe(tmp_path):
    def lines():
        yield line(1)
        msg = "cannot read x"
        raise SourceError(msg)

    sink, report = Sink(), Report()
    with pytest.raises(SourceError):
        deliver(lines(), sink, Config(rejects=tmp_path / "r"), report)
    assert len(sink.flushed) == 1
    assert report.delivered == 1


def test_a_refusal_is_an_error_and_the_report_is_right(tmp_path):
    def refuse(count):
        if count == 2:
            msg = "refused"
            raise BrokerError(msg)

    report = Report()
    with pytest.raises(BrokerError):
        deliver([line(i) for i in range(1, 9)], Sink(on_send=refuse), Config(rejects=tmp_path / "r"), report)
    assert report.sent == report.delivered == 2


def test_old_posts_in_a_topic_with_retention_are_warned_of_once(run):
    warnings = []
    now = time.time()
    old = [line(1, now - 8 * 86_400), line(2, now)]
    run(old, Sink(retention_ms=7 * 86_400_000), warnings.append)
    assert len(warnings) == 1
    assert "retention.ms=-1" in warnings[0]
    for quiet in (Sink(retention_ms=-1), Sink(retention_ms=None), Sink(retention_ms=9 * 86_400_000)):
        run(old, quiet, warnings.append)
    assert len(warnings) == 1


def test_a_topic_that_overrides_times_is_warned_of(run):
    warnings = []
    run([line(1)], Sink(broker_times=True), warnings.append)
    assert "LogAppendTime" in warnings[0]


def test_posts_of_the_future_are_warned_of_once(run):
    warnings = []
    now = time.time()
    run([line(1, now), line(2, now + 1), line(3, now + 300), line(4, now + 900)], warn=warnings.append)
    assert len(warnings) == 1
    assert "future" in warnings[0]


def test_the_feed_rejects_what_the_stream_would(run):
    config = SimulationConfig(date=date(2024, 6, 5), posts=500, events=0, share_unreadable=0.3, share_malformed=0.3)
    lines = list(Simulation(config).lines())
    sink = Sink()
    run(lines, sink, send_unreadable=True)
    assert [value for value, *_ in sink.records] == lines
    for value, key, timestamp in sink.records:
        if key is None:
            with pytest.raises(Rejected):
                decode_post(value, timestamp)
        else:
            post = decode_post(value, timestamp)
            assert (post.item.id.encode(), round(post.time_stamp * 1000)) == (key, timestamp)


@pytest.mark.parametrize("options", [{"rate": 0}, {"rate": 1, "speedup": 1}, {"speedup": -1}])
def test_impossible_configurations_are_refused(options):
    with pytest.raises(ValueError, match=r"must be|exclude"):
        Config(**options)
