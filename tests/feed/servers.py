"""Single servers of the stack beside any other, that a test may kill and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local import kafka, stack, storage
from local import settings as configuration
from local.part import NotReadyError, Part
from local.settings import Settings


class Server:
    """One part of the stack alone; use it as a context manager."""

    def __init__(self, folder: Path, part_of: Callable[[Settings], Part]) -> None:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
        self.settings = configuration.load({**inherited, **stack.free_port_environment(folder)})
        self._part = part_of(self.settings)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = self._part.launch(lambda _: None).command
        self._part.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**self.settings.environment, **storage.server_environment(self.settings)}
        with self._part.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        for _ in range(480):
            assert self._process.poll() is None, f"{self._part.title} ended at start: see {self._part.log}"
            try:
                self._part.check()
            except NotReadyError:
                time.sleep(0.25)
            else:
                return
        pytest.fail(f"{self._part.title} is not well: see {self._part.log}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(120)
            self._process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


class Broker(Server):
    """Kafka."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, kafka.part)
        self.servers = str(self.settings.kafka)


class Storage(Server):
    """S3."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, lambda settings: storage.parts(settings)[0])
