"""Bounded pipelines on the DirectRunner: who can reach their worker processes, and what their failures tell."""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path

import apache_beam as beam
import psutil
import pytest

from beam_pipelines.batch import BatchRunner
from programs.errors import UserError


def test_ports_for_worker_processes_are_on_loopback_alone(tmp_path: Path):
    seen = tmp_path / "listening"

    def note(runner: int) -> None:  # in a worker, while all ports are open
        connections = psutil.Process(runner).net_connections("tcp")
        listening = [connection.laddr for connection in connections if connection.status == psutil.CONN_LISTEN]
        seen.write_text(json.dumps(listening), encoding="utf-8")

    with BatchRunner(["--direct_num_workers=2"], "test") as runner:
        runner.run(lambda pipeline: pipeline | beam.Create([os.getpid()]) | beam.Map(note))
    # gRPC shows IPv4 as mapped into IPv6.
    hosts = [host.removeprefix("::ffff:") for host, _ in json.loads(seen.read_text(encoding="utf-8"))]
    addresses = [ipaddress.ip_address(host) for host in hosts]
    assert len(addresses) >= 6  # control, data, state, logging, and logging of each worker
    assert all(address.is_loopback for address in addresses), addresses


def test_what_a_step_in_another_process_asks_of_the_user_is_told_in_its_own_words(caplog: pytest.LogCaptureFixture):
    def refuse(_: int) -> None:
        msg = "no posts: run parse first"
        raise UserError(msg)

    with BatchRunner(["--direct_num_workers=2"], "test") as runner, pytest.raises(UserError) as refused:
        runner.run(lambda pipeline: pipeline | beam.Create([1]) | "Refuse" >> beam.Map(refuse))
    assert str(refused.value) == "no posts: run parse first"
    assert "Traceback" not in caplog.text
