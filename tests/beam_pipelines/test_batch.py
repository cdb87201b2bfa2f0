"""Bounded pipelines on the DirectRunner: who can reach their worker processes."""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path

import apache_beam as beam
import psutil

from beam_pipelines.batch import BatchRunner


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
