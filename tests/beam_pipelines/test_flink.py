"""Flink's REST API as users see it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from beam_pipelines import preflight
from beam_pipelines.flink import Cluster
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


def test_any_broker_of_several_will_do(server: str) -> None:
    preflight._reach_one(["127.0.0.1:1", f" {server}"])
    with pytest.raises(OSError, match="refused"):
        preflight._reach_one(["127.0.0.1:1", "[::1]:1"])
