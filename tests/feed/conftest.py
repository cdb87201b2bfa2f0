"""A Kafka broker of one's own, that a test may kill and start again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from local import kafka, stack
from local import settings as configuration
from local.part import NotReadyError


def _port() -> int:
    """Return a port that nobody else is given while the broker is down: one below those that the system hands out."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Broker:
    """One real broker, beside any other."""

    def __init__(self, folder: Path) -> None:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
        ports = {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{_port()}",
            "KAFKA_CONTROLLER_PORT": str(_port()),
        }
        self._settings = configuration.load({**inherited, **stack.free_port_environment(folder), **ports})
        self.servers = str(self._settings.kafka)
        self._part = kafka.part(self._settings)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = self._part.launch(lambda _: None).command
        self._part.log.parent.mkdir(parents=True, exist_ok=True)
        with self._part.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(480):
            assert self._process.poll() is None, f"Kafka ended at start: see {self._part.log}"
            try:
                self._part.check()
            except NotReadyError:
                time.sleep(0.25)
            else:
                return
        pytest.fail(f"Kafka is not well: see {self._part.log}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(120)
            self._process = None


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """A broker that runs; tests use topics of their own."""
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
