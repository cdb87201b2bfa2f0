"""Bounded pipelines on the DirectRunner: who can reach their worker processes, and what their failures tell."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
from pathlib import Path

import apache_beam as beam
import psutil
import pytest
from apache_beam.portability.api import beam_fn_api_pb2

from beam_pipelines.batch import BatchRunner
from beam_pipelines.direct_workers import WorkerConnection
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


@pytest.mark.parametrize("slow", [0, 1])
def test_a_step_that_refuses_is_told_in_its_own_words_while_another_worker_is_still_starting(
    slow: int, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    late = f"import os, time\nif int(os.environ.get('WORKER_ID', '_-1').split('_')[1]) % 2 == {slow}: time.sleep(4)\n"
    (tmp_path / "sitecustomize.py").write_text(late, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def refuse(_: int) -> None:
        msg = "no posts: run parse first"
        raise UserError(msg)

    with BatchRunner(["--direct_num_workers=2"], "test") as runner, pytest.raises(UserError) as refused:
        runner.run(lambda pipeline: pipeline | beam.Create([1]) | "Refuse" >> beam.Map(refuse))
    assert str(refused.value) == "no posts: run parse first"
    assert "Traceback" not in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # Beam's reader of its data
def test_a_worker_process_that_is_killed_fails_the_pipeline_and_is_told():
    def die(_: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with BatchRunner(["--direct_num_workers=2"], "test") as runner, pytest.raises(UserError, match=r"137.*memory"):
        runner.run(lambda pipeline: pipeline | beam.Create([1]) | beam.Map(die))


def test_what_a_dead_worker_is_asked_is_answered_with_how_it_died_before_and_after():
    connection = WorkerConnection()
    asked = connection.push(beam_fn_api_pb2.InstructionRequest(instruction_id="before"))
    connection.died("it was killed")
    later = connection.push(beam_fn_api_pb2.InstructionRequest())
    assert [asked.get(timeout=0).error, later.get(timeout=0).error] == ["it was killed"] * 2
