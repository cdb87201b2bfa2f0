"""Flink's REST API as users see it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from beam_pipelines import preflight
from beam_pipelines.flink import Cluster, _cause
from programs.errors import UserError


class _Refusal(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        trace = (
            "org.apache.flink.RestHandlerException: Config key [state.savepoints.dir] is not set.\n\tat a.B.c(B.java:1)"
        )
        body = json.dumps({"errors": [trace]}) if self.path == "/why" else "gone"
        self.send_response(400)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Refusal) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_flink_refuses_is_told_with_its_reason(server: str) -> None:
    with pytest.raises(UserError) as refused:
        Cluster(server).get("/why")
    assert str(refused.value).endswith(
        "with 400: org.apache.flink.RestHandlerException: Config key [state.savepoints.dir] is not set."
    )
    with pytest.raises(UserError, match="answers GET /else with 400: Bad Request"):
        Cluster(server).get("/else")


JAVA_TRACE = """org.apache.flink.util.FlinkException: Disconnect from JobManager responsible for 1.
\tat org.apache.flink.runtime.X.y(X.java:1)
Caused by: java.lang.IllegalStateException: the leader went away
\t... 29 more
"""
WORKER_TRACE = """java.lang.Exception: Exception while processing next element
\tat org.apache.beam.A.b(A.java:1)
Caused by: java.lang.RuntimeException: Error received from SDK harness for instruction 4: Traceback (most recent call last):
  File "sinks.py", line 3, in run
    connect()
psycopg2.errors.UniqueViolation: duplicate key value violates unique constraint "one"
DETAIL:  Key (a)=(1) already exists.
LINE 2:     INSERT INTO window_totals
                        ^

 [while running 'WriteToPostgres/Upsert-ptransform-77']

\tat org.apache.beam.B.c(B.java:2)
\t... 7 more
"""


@pytest.mark.parametrize(
    ("trace", "cause"),
    [
        (JAVA_TRACE, "java.lang.IllegalStateException: the leader went away"),
        (WORKER_TRACE, 'psycopg2.errors.UniqueViolation: duplicate key value violates unique constraint "one"'),
        ("java.lang.NullPointerException\n\tat a.B.c(B.java:1)", "java.lang.NullPointerException"),
        ("", ""),
    ],
)
def test_the_cause_of_a_fault_is_one_line(trace: str, cause: str) -> None:
    assert _cause(trace) == cause


def test_any_broker_of_several_will_do(server: str) -> None:
    preflight._reach_one(["127.0.0.1:1", f" {server}"])
    with pytest.raises(OSError, match="refused"):
        preflight._reach_one(["127.0.0.1:1", "[::1]:1"])
