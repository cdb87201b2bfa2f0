"""The main job on the real stack: every post accounted for, every count right, also when processes are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import confluent_kafka
import numpy as np
import psutil
import psycopg2
import pytest
from kafka import KafkaConsumer, TopicPartition

from beam_pipelines.flink import Cluster
from beam_pipelines.stream_options import SOURCES
from detection.counts import WindowCounts
from detection.detector import Detector
from detection.keyword_detector import KeywordDetector
from detection.threshold import ThresholdDetector
from feed.delivery import Config as DeliveryConfig
from feed.produce import produce
from feed.simulation import Config, Simulation
from feed.topic import TopicConfig
from local import accounting, evidence, flink, reset
from local.settings import ROOT, Settings
from local.stack import health
from transforms import lake
from transforms.baselines import load_baselines, newest_version

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

T = TypeVar("T")

POSTS = 60_000
"""Of a day, of which the middle is sent: as many windows as it has close at once."""
MIDDLE = slice(24_000, 48_000)
PATIENCE_SECONDS = 240

SLACK = 0.3
"""How much scores may differ, a factor of two in return periods: posts that came too late were not learnt from."""

BY_LATE_POSTS = 0.05
"""Share of the outliers that may hang on late posts: a window of three mentions with one of them late is none in time."""


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """Posts of yesterday: with broken, repeated, late and disordered ones."""
    date = (datetime.now(UTC) - timedelta(days=1)).date()
    day = Simulation(Config(date=date, posts=POSTS, seed=7, share_unreadable=0.002, share_late=0.02)).lines()
    return list(day)[MIDDLE]


@pytest.fixture(scope="module")
def expected(lines: list[bytes]) -> accounting.Recount:
    return accounting.Recount.of(lines)


@pytest.fixture
def empty_stack(stack: Settings) -> Iterator[Settings]:
    """The stack with empty topics, tables and lake, and no job left running."""
    reset.empty(stack)
    yield stack
    reset.cancel_jobs(stack)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Files of the counts and totals of the three days before."""
    date = (datetime.now(UTC) - timedelta(days=1)).date()
    folder = tmp_path_factory.mktemp("history")
    counts, totals = str(folder / "counts.csv.gz"), str(folder / "totals.csv.gz")
    _python("feed.simulate", "--date", str(date), "--posts", str(POSTS), "--seed", "7", "--history", "3",
            "--counts", counts, "--totals", totals, "--output", os.devnull)  # fmt: skip
    return counts, totals


def _publish_baselines(history: tuple[str, str], detector: Detector) -> None:
    counts, totals = history
    _python("beam_pipelines.stats", "--counts", counts, "--totals", totals, "--detector", detector.name)


def _python(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGUSR1)  # it tells where it hangs
            time.sleep(1)
            process.kill()
            output, errors = process.communicate()
    assert process.returncode == 0, f"{module}: {output}\n{errors}"
    return output.strip()


def _until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)


def _soon(check: Callable[[], T], seconds: float = 60) -> T:
    """Repeat a check until it passes, and return what it found; its last failure is told when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _archive_has_begun() -> bool:
    return len(list(lake.find(f"{os.environ['LAKE']}/raw/"))) > 1


def _process(stack: Settings, mark: str) -> psutil.Process:
    """The process of this stack whose command line holds a mark."""
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if mark in command and str(stack.stack_dir) in command:
            return process
    pytest.fail(f"no {mark} of this stack is running")


def _below_task_manager(stack: Settings) -> tuple[psutil.Process, list[psutil.Process]]:
    """The task manager of this stack, and its Python workers."""
    manager = _process(stack, "TaskManagerRunner")
    return manager, [child for child in manager.children(recursive=True) if "worker_boot" in " ".join(child.cmdline())]


Submit = Callable[..., object]
"""Submits the stream; takes further options."""


def _kill_nothing(stack: Settings, submit: Submit) -> None:
    """The undisturbed run."""


def _kill_task_manager(stack: Settings, submit: Submit) -> None:
    _below_task_manager(stack)[0].send_signal(signal.SIGKILL)


def _kill_python_worker(stack: Settings, submit: Submit) -> None:
    workers = _below_task_manager(stack)[1]
    assert workers, "the task manager has no Python worker"
    workers[0].send_signal(signal.SIGKILL)


def _restart_broker(stack: Settings, submit: Submit) -> None:
    """The broker dies; its supervisor starts it again some seconds later."""
    _process(stack, "kafka.Kafka").send_signal(signal.SIGKILL)


def _kill_postgres_and_s3(stack: Settings, submit: Submit) -> None:
    """Nothing can be written for some seconds, until their supervisor has started them again."""
    for server in (_process(stack, "bin/postgres"), _process(stack, "local.s3_server")):
        server.kill()
        server.wait(10)
    _until(_postgres_answers, "Postgres to come back")


def _postgres_answers() -> bool:
    try:
        psycopg2.connect("").close()
    except psycopg2.OperationalError:
        return False
    return True


def _stop_and_resume(stack: Settings, submit: Submit) -> None:
    """The job is stopped in the middle of the posts; another goes on from its savepoint."""
    savepoint = _python("beam_pipelines.savepoint")
    assert savepoint.startswith(f"file:{stack.stack_dir}/savepoints/")
    assert next(job["state"] for job in Cluster(str(stack.flink)).jobs()) == "CANCELED"
    submit(f"--savepoint_path={savepoint}")


def _end_job_manager(stack: Settings, submit: Submit) -> None:
    """Flink ends as by `make down`, and the job with it; another goes on from its last checkpoint."""
    (job,) = flink.running(stack)
    _until(lambda: bool(job.newest_checkpoint()), "a checkpoint")
    manager = _process(stack, "StandaloneSession")
    manager.terminate()
    manager.wait(60)
    checkpoint = job.newest_checkpoint()
    assert checkpoint, "Flink took the checkpoints with it"
    _until(lambda: all(report.well for report in health(stack)), "Flink to come back")
    assert flink.running(stack) == []
    submit(f"--savepoint_path={checkpoint}")


FAULTS = (_kill_task_manager, _kill_python_worker, _restart_broker, _kill_postgres_and_s3, _stop_and_resume)


@pytest.mark.parametrize(
    ("detector", "disturb", "source"),
    [
        (ThresholdDetector(), _kill_nothing, SOURCES[0]),
        *((KeywordDetector(), fault, source) for fault in FAULTS for source in SOURCES),
        (KeywordDetector(), _end_job_manager, SOURCES[0]),
    ],
)
def test_every_post_is_accounted_for(
    empty_stack: Settings,
    lines: list[bytes],
    expected: accounting.Recount,
    history: tuple[str, str],
    detector: Detector,
    disturb: Callable[[Settings, Submit], None],
    source: str,
) -> None:
    _publish_baselines(history, detector)
    topic = TopicConfig(servers=str(empty_stack.kafka), name=empty_stack.topic_posts)
    produce(lines, topic, DeliveryConfig(send_unreadable=True))
    # A day of windows closes at once: the fewer shards, the sooner. The undisturbed run has as many as in life.
    shards = [] if disturb is _kill_nothing else ["--shards=6"]
    submit = partial(_python, "beam_pipelines.stream", "--runner=FlinkRunner", "--detach", "--early_firing_seconds=5",
                     "--checkpointing_interval=3000", f"--detector={detector.name}", f"--source={source}", *shards)  # fmt: skip
    submit()
    running = [job["name"] for job in Cluster(str(empty_stack.flink)).jobs() if job["state"] == "RUNNING"]
    assert running == ["tiktok-stream"]

    _until(_archive_has_begun, "the first posts in the archive")
    disturb(empty_stack, submit)
    connection = psycopg2.connect("")
    _until(
        lambda: sum(accounting.counted(connection).values()) >= expected.posts.total(),
        f"{expected.posts.total()} posts counted",
    )
    prefix = os.environ["LAKE"]
    assert accounting.counted(connection) == dict(expected.posts)
    assert accounting.digests_of(accounting.archived(prefix)) == expected.digests
    assert accounting.dead_letters(prefix) == expected.dead > 0
    often = {pair: mentions for pair, mentions in expected.mentions.items() if mentions >= 2}
    _until(lambda: accounting.counted_mentions(connection) == often, "keyword windows equal to a recount", 60)
    # Windows and outliers have sinks of their own: the last bundle's outliers may come a moment after its windows.
    found = _soon(lambda: _check_outliers(connection, expected, detector))
    _soon(lambda: _check_incidents(connection, found))
    _soon(lambda: _check_copies(found, empty_stack))
    if disturb in (_kill_task_manager, _kill_python_worker):
        cluster = Cluster(str(empty_stack.flink))
        assert cluster.newest_fault(cluster.jobs()[0]["jid"]), "who follows the job is to know why it was started again"
        evidence.note_jobs(empty_stack)
        assert ": " in (empty_stack.log_dir / "faults.log").read_text(encoding="utf-8")
    if disturb is _kill_nothing:
        _check_parity(connection)
        _check_evidence(empty_stack)
    connection.close()


@pytest.mark.parametrize("source", SOURCES)
def test_a_record_without_value_is_a_dead_letter_at_its_own_place(empty_stack: Settings, source: str) -> None:
    now = datetime.now(UTC).timestamp()
    post = b'{"itemInfos":{"id":"%d","text":"dance"},"time_stamp":%d}'
    producer = confluent_kafka.Producer({"bootstrap.servers": str(empty_stack.kafka)})
    for value in (post % (1, now), None, post % (2, now)):
        producer.produce(empty_stack.topic_posts, value, partition=0, timestamp=int(now * 1000))
    assert producer.flush(30) == 0
    # What another job of the group has committed, for monitoring, is not where this one begins.
    settings = {
        "bootstrap.servers": str(empty_stack.kafka),
        "group.id": os.environ.get("KAFKA_CONSUMER_GROUP", "tiktok-stream"),
    }
    committed = confluent_kafka.TopicPartition(empty_stack.topic_posts, 0, 3)
    confluent_kafka.Consumer(settings).commit(offsets=[committed], asynchronous=False)
    _python("beam_pipelines.stream", "--runner=FlinkRunner", "--detach", f"--source={source}",
            "--checkpointing_interval=3000")  # fmt: skip
    folder = f"{os.environ['LAKE']}/dead/"
    _until(lambda: any(lake.find(folder)), "a dead letter", 90)
    letters = [json.loads(line) for url in lake.find(folder) for line in lake.get(url).splitlines()]
    assert {(letter["reason"], letter["partition"], letter["offset"]) for letter in letters} == {("empty", 0, 1)}


def _check_parity(connection: Any) -> None:
    """The batch counts the same posts from the archive, and each difference has a cause: posts that were sent twice."""
    day = str((datetime.now(UTC) - timedelta(days=1)).date())
    _python("beam_pipelines.parse", "--date", day)
    _python("beam_pipelines.parity", "--date", day)  # its exit code says whether something is unexplained
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT keyword_windows, equal, duplicate, missing, unexplained FROM parity_days WHERE date = %s", (day,)
        )
        compared, equal, duplicate, missing, unexplained = cursor.fetchone()
    assert compared == equal + duplicate
    assert duplicate > 0
    assert missing == unexplained == 0


def _check_evidence(stack: Settings) -> None:
    """Should a test fail, what its job and its workers were doing can be seen."""
    evidence.note_jobs(stack)
    told = json.loads((stack.log_dir / "flink.json").read_text(encoding="utf-8"))
    assert any(name.startswith("job tiktok-stream") and name.endswith("/checkpoints") for name in told)
    assert "sdk_worker" in (stack.log_dir / "python-workers.out").read_text(encoding="utf-8")


def _check_outliers(connection: Any, expected: accounting.Recount, detector: Detector) -> set[tuple[str, int]]:
    """Each outlier is what the detector says of the recount, window after window.

    The detector that learns from window to window has seen late posts later, or not at all: it may differ a little.
    """
    version = newest_version(connection, detector.name)
    table, state = load_baselines(connection, detector.name, version), detector.new_state()
    clear, possible = set(), set()
    words: dict[int, list[str]] = {}
    for keyword, start in expected.mentions:
        words.setdefault(start, []).append(keyword)
    for start in sorted(expected.posts):
        counts = np.array([expected.mentions[keyword, start] for keyword in words[start]])
        window = WindowCounts(start, float(expected.posts[start]), tuple(words[start]), counts)
        scores, state = detector.step(window, table, state)
        sure, perhaps = scores.is_outlier, scores.is_outlier
        if isinstance(detector, KeywordDetector):
            least = detector.least_score(table)
            sure, perhaps = sure & (scores.score >= least + SLACK), scores.score >= least - SLACK
        silent, _ = detector.drops(window, table, state)
        clear |= {(keyword, start) for keyword in silent.keywords}
        possible |= {(keyword, start) for keyword in silent.keywords}
        clear |= {(words[start][i], start) for i in np.flatnonzero(sure)}
        possible |= {(words[start][i], start) for i in np.flatnonzero(perhaps)}
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT keyword, extract(epoch FROM window_start)::bigint, mentions, baseline_version FROM outliers "
            "WHERE status = 'confirmed'"
        )
        found = {(keyword, start): (mentions, by) for keyword, start, mentions, by in cursor.fetchall()}
    assert found, "no outlier in a day with injected events"
    assert all(found[key] == (expected.mentions[key], version) for key in found)
    differ = (clear - found.keys()) | (found.keys() - possible)
    assert len(differ) <= BY_LATE_POSTS * len(found) * isinstance(detector, KeywordDetector), differ
    return set(found)


def _check_incidents(connection: Any, found: set[tuple[str, int]]) -> None:
    """A day's surges of a keyword lie within the gap, so they are one incident, and its drops another."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM outliers WHERE status = 'provisional'")
        assert cursor.fetchone() == (0,), "all windows have closed"
        cursor.execute("SELECT keyword, extract(epoch FROM window_start)::bigint FROM outliers WHERE excess < 0")
        drops = set(cursor.fetchall())
        cursor.execute(
            "SELECT keyword, kind, extract(epoch FROM opened_at)::bigint, extract(epoch FROM last_at)::bigint, status "
            "FROM incidents WHERE state = 'open'"
        )
        incidents = {(keyword, kind): span for keyword, kind, *span, status in cursor if status == "confirmed"}
    starts: dict[tuple[str, str], list[int]] = {}
    for keyword, start in found:
        starts.setdefault((keyword, "drop" if (keyword, start) in drops else "surge"), []).append(start)
    first_and_last = {key: [min(some), max(some)] for key, some in starts.items()}
    assert incidents == first_and_last


def _check_copies(found: set[tuple[str, int]], stack: Settings) -> None:
    """The lake and the topic tell of the same outliers as the table; a replay may have told them more than once.

    A provisional one, of a window that has closed since, is void: after a fault its shard need not know of it.
    """
    objects = [lake.get(url) for url in lake.find(f"{os.environ['LAKE']}/outliers/")]
    assert _standing(line for data in objects for line in data.splitlines()) == found
    assert _standing(_messages(stack, stack.topic_outliers)) == found
    dead = [json.loads(value) for value in _messages(stack, stack.topic_dead)]
    assert len({(letter["partition"], letter["offset"]) for letter in dead}) == accounting.dead_letters(
        os.environ["LAKE"]
    )


def _standing(lines: Iterable[bytes]) -> set[tuple[str, int]]:
    """What stands of these outliers: of several with the same key, the one of the latest pane holds."""
    latest: dict[tuple[str, int], tuple[int, int, str]] = {}
    for line in lines:
        outlier = json.loads(line)
        key = outlier["keyword"], int(datetime.fromisoformat(outlier["window_start"]).timestamp())
        told = outlier["pane"], outlier["posts"], outlier["status"]
        latest[key] = max(latest.get(key, told), told, key=lambda one: one[:2])
    return {key for key, (_, _, status) in latest.items() if status == "confirmed"}


def _messages(stack: Settings, topic: str) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=str(stack.kafka))
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends, values = consumer.end_offsets(partitions), list[bytes]()
    deadline = time.monotonic() + 30
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        assert time.monotonic() < deadline, f"the topic {topic} cannot be read to its end"
        values += [message.value for messages in consumer.poll(1_000).values() for message in messages]
    consumer.close()
    return values
