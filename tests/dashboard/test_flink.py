"""What is made of Flink's REST API, from answers in its own form served over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dashboard.flink import get_flink
from dashboard.services import Services

SOURCE = "Source__ReadPosts/ReadFromKafka.numRecordsOutPerSecond"
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
            {"id": "v1", "name": "Source: ReadPosts -> {DecodePosts}", "status": "RUNNING", "parallelism": 2},
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
            answer = (
                [
                    {"id": SOURCE, "sum": 1_234.5, "max": 700.0},
                    {"id": "numRecordsInPerSecond", "sum": 10.0, "max": 6.0},
                    {"id": "busyTimeMsPerSecond", "sum": 900.0, "max": 600.0},
                    {"id": "backPressuredTimeMsPerSecond", "sum": "NaN", "max": "NaN"},
                ]
                if query
                else [{"id": "numBytesIn"}, {"id": SOURCE}]
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


def services(master: str) -> Services:
    return cast("Services", SimpleNamespace(config=SimpleNamespace(flink=master)))


def test_a_running_job_is_described(flink: str) -> None:
    found = get_flink(services(flink))
    assert found.reachable
    assert [job.id for job in found.jobs] == ["abc"]
    (job,) = found.jobs
    assert (job.checkpoints.completed, job.checkpoints.failed, job.checkpoints.last_duration_seconds) == (41, 1, 0.34)
    assert job.restarts == 3
    source, merge = job.steps
    assert source.read_per_second == 1_234.5
    assert merge.read_per_second is None
    assert merge.records_in_per_second == 10.0
    assert merge.busy == 0.6
    assert merge.back_pressure is None
    assert source.watermark is None
    assert merge.watermark is not None
    assert merge.watermark.timestamp() == 1_772_300_099


@pytest.mark.parametrize("master", ["127.0.0.1:9", "[local]", "file:///etc/passwd"])
def test_no_cluster_is_told(master: str) -> None:
    found = get_flink(services(master))
    assert not found.reachable
    assert "FLINK_MASTER" in (found.detail or "")
