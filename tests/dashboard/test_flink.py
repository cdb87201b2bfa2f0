"""What is made of Flink's REST API, from answers in its own form served over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from dashboard.flink import look

SOURCE = "Source__ReadPosts/ReadFromKafka/KafkaIO_Read/KafkaIO_Read_ReadFromKafkaViaUnboun"
METRICS: dict[str, tuple[Any, Any]] = {
    "numBytesIn": (1.0, 1.0),
    "numRecordsInPerSecond": (10.0, 6.0),
    "busyTimeMsPerSecond": (900.0, 600.0),
    "backPressuredTimeMsPerSecond": ("NaN", "NaN"),
}
READING: dict[str, tuple[Any, Any]] = {
    f"{SOURCE}.source_elements_read": (340.0, 200.0),  # packs
    f"{SOURCE}.source_splits_0_backlog_elements": (20_000.0, 20_000.0),
    f"{SOURCE}.source_splits_1_backlog_elements": (10_000.0, 10_000.0),
    f"{SOURCE}.source_splits_2_backlog_elements": (-1.0, -1.0),
    "[2]{ReadPosts__DecodePosts}.ReadPosts_posts": (100_000.0, 60_000.0),
}
ANSWERS: dict[str, Any] = {
    "/overview": {"slots-total": 2, "slots-available": 0},
    "/jobs/overview": {
        "jobs": [
            {"jid": "old", "name": "tiktok-stream", "state": "CANCELED", "start-time": 1},
            {"jid": "abc", "name": "tiktok-stream", "state": "RUNNING", "start-time": 1_772_300_000_000},
        ]
    },
    "/jobs/abc": {
        "name": "tiktok-stream",
        "state": "RUNNING",
        "start-time": 1_772_300_000_000,
        "vertices": [
            {
                "id": "v1",
                "name": "Source: ReadPosts/ReadFromKafka/KafkaIO.Read -> [8]{ReadPosts, DecodePosts}",
                "status": "RUNNING",
                "parallelism": 2,
            },
            {"id": "v2", "name": "[3]{MergePanes, Counts}", "status": "RUNNING", "parallelism": 2},
        ],
    },
    "/jobs/abc/checkpoints": {
        "counts": {"completed": 41, "failed": 1},
        "latest": {
            "completed": {"latest_ack_timestamp": 1_772_300_500_000, "end_to_end_duration": 340, "state_size": 2_048}
        },
    },
    "/jobs/abc/metrics": [{"id": "numRestarts", "value": "3"}],
    "/jobs/abc/vertices/v1/watermarks": [{"id": "0.currentInputWatermark", "value": "-9223372036854775808"}],
    "/jobs/abc/vertices/v2/watermarks": [
        {"id": "0.currentInputWatermark", "value": "1772300100000"},
        {"id": "1.currentInputWatermark", "value": "1772300099000"},
    ],
}


class _Flink(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        answer = ANSWERS.get(path)
        if path.endswith("/subtasks/metrics"):
            known = METRICS | (READING if "/v1/" in path else {})
            asked = parse_qs(query).get("get", [""])[0].split(",")
            answer = (
                [{"id": name, "sum": values[0], "max": values[1]} for name, values in known.items() if name in asked]
                if query
                else [{"id": name} for name in known]
            )
        self.send_response(404 if answer is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def flink() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Flink)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_running_job_is_described(flink: str) -> None:
    found = look(flink)
    assert found.reachable
    assert [job.id for job in found.jobs] == ["abc"]
    (job,) = found.jobs
    assert (job.checkpoints.completed, job.checkpoints.failed, job.checkpoints.last_duration_seconds) == (41, 1, 0.34)
    assert job.restarts == 3
    source, merge = job.steps
    assert job.source == "kafkaio"
    assert (source.posts_read, source.posts_behind) == (100_000, 30_000)
    assert (merge.posts_read, merge.posts_behind) == (None, None)
    assert merge.records_in_per_second == 10.0
    assert merge.busy == 0.6
    assert merge.back_pressure is None
    assert source.watermark is None
    assert merge.watermark is not None
    assert merge.watermark.timestamp() == 1_772_300_099


def test_of_librdkafka_the_posts_read_are_known(flink: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["Source: Impulse -> [3]ReadPosts/{Readers, Read}", "[7]{ReadPosts, DecodePosts}"]
    vertices = [
        {"id": f"v{i}", "name": name, "status": "RUNNING", "parallelism": 2} for i, name in enumerate(names, start=1)
    ]
    monkeypatch.setitem(ANSWERS, "/jobs/abc", ANSWERS["/jobs/abc"] | {"vertices": vertices})
    for name in list(READING):
        monkeypatch.delitem(READING, name)
    monkeypatch.setitem(READING, "[7]{ReadPosts__DecodePosts}.ReadPosts_posts", (22_258.0, 12_000.0))
    (job,) = look(flink).jobs
    assert job.source == "librdkafka"
    assert [(step.posts_read, step.posts_behind) for step in job.steps] == [(22_258, None), (None, None)]


@pytest.mark.parametrize("master", ["127.0.0.1:9", "[local]", "file:///etc/passwd"])
def test_no_cluster_is_told(master: str) -> None:
    found = look(master)
    assert not found.reachable
    assert "FLINK_MASTER" in (found.detail or "")
