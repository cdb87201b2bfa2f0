"""A Python job on the Flink cluster of the local stack: it starts, and it survives the death of each of its processes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from beam_pipelines.flink import Cluster
from local import stack as embedded
from local.settings import Settings
from tests.local import counting

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

JOB, SOURCE, SINK = "counting-test", "counting-in", "counting-out"
WORDS = ("a", "b", "c", "d")
Expected = dict[tuple[str, int], set[tuple[int, int]]]


class Feed:
    """Sends records of known words, one a second of event time, and remembers where each of them went."""

    def __init__(self, servers: str) -> None:
        self._producer = KafkaProducer(bootstrap_servers=servers)
        self._start = (int(time.time()) - 7200) // counting.WINDOW_SECONDS * counting.WINDOW_SECONDS
        self._sent = 0
        self.expected: Expected = {}

    def send(self, count: int) -> None:
        """Send the next records, in turn to both partitions."""
        pending = []
        for number in range(self._sent, self._sent + count):
            word, second = WORDS[number % len(WORDS)], self._start + number
            window = second // counting.WINDOW_SECONDS * counting.WINDOW_SECONDS
            value = f"{word} {number}".encode()
            future = self._producer.send(SOURCE, value, partition=number % 2, timestamp_ms=second * 1000)
            pending.append((word, window, future))
        self._sent += count
        for word, window, future in pending:
            place = future.get(30)
            self.expected.setdefault((word, window), set()).add((place.partition, place.offset))


class Firings:
    """What the job has sent so far."""

    def __init__(self, servers: str) -> None:
        self._consumer = KafkaConsumer(
            SINK, bootstrap_servers=servers, auto_offset_reset="earliest", group_id=None, consumer_timeout_ms=500
        )
        self.all: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """Return the firings that came since the last call."""
        new = [json.loads(message.value) for message in self._consumer]
        self.all.extend(new)
        return new

    def counted(self) -> Expected:
        """Return the places of the fullest pane of every word and window."""
        self.read()
        fullest: Expected = {}
        for firing in self.all:
            key, places = (firing["word"], firing["window"]), {tuple(place) for place in firing["places"]}
            fullest[key] = max(fullest.get(key, set()), places, key=len)
        return fullest


@pytest.fixture
def job(stack: Settings) -> Iterator[tuple[Cluster, str, Feed, Firings]]:
    servers = str(stack.kafka)
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics([NewTopic(SOURCE, 2, 1, topic_configs={"retention.ms": "-1"}), NewTopic(SINK, 1, 1)])
    feed, cluster = Feed(servers), Cluster(str(stack.flink))
    feed.send(100)
    job_id = counting.submit(["--runner=FlinkRunner", f"--job_name={JOB}"], servers, SOURCE, SINK)
    try:
        yield cluster, job_id, feed, Firings(servers)
    finally:
        cluster.cancel(job_id)
        admin.delete_topics([SOURCE, SINK])
        admin.close()


def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # pytest-timeout ends a wait that is in vain
        time.sleep(0.5)


def _checkpoint(cluster: Cluster, job_id: str) -> None:
    """Wait for a checkpoint that was begun from now on."""

    def started() -> int:
        return int(cluster.get(f"/jobs/{job_id}/checkpoints")["counts"]["completed"])

    before = started()
    _until(lambda: started() >= before + 2)


def test_a_job_survives_the_death_of_task_manager_and_worker(
    stack: Settings, job: tuple[Cluster, str, Feed, Firings]
) -> None:
    cluster, job_id, feed, firings = job
    overview = {entry["jid"]: entry for entry in cluster.jobs()}[job_id]
    assert (overview["name"], overview["state"]) == (JOB, "RUNNING")
    _until(lambda: firings.counted() == feed.expected)

    _checkpoint(cluster, job_id)
    (task_manager,) = (report for report in embedded.health(stack) if report.part.name == "taskmanager")
    assert task_manager.process
    os.kill(task_manager.process.pid, signal.SIGKILL)
    feed.send(100)
    _until(lambda: firings.counted() == feed.expected)

    _checkpoint(cluster, job_id)
    os.kill(firings.all[-1]["worker"], signal.SIGKILL)
    feed.send(100)
    _until(lambda: firings.counted() == feed.expected)

    # Nothing was counted twice, and keyed state came back with each restart: it went on counting with the panes.
    assert all(len(firing["places"]) == len({tuple(place) for place in firing["places"]}) for firing in firings.all)
    assert all(firing["firings_before"] == firing["pane"] for firing in firings.all)
    assert max(firing["pane"] for firing in firings.all) > 0
