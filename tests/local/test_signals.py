"""However a command that has started something is told to end, it stops that first: a closed terminal takes no print."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest

from local import airflow, stack, supervisor
from local import settings as configuration
from local.settings import ROOT, Settings

# Airflow's programs are a sleep; all else is as `make airflow` has it.
_AIRFLOW = """
import signal, sys
from local import airflow
from local.part import Launch, Part
from dataclasses import replace

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever the tests run below
original = airflow._parts
def parts(settings):
    part = original(settings)[0]
    return [replace(part, listens=[], launch=lambda _: Launch(["/bin/sleep", "600"]), check=lambda: "ok")]
airflow._parts = parts
airflow.prepare = lambda _: None
airflow._await_dag = lambda _: {"is_paused": True}
sys.exit(airflow.main([]))
"""

_BENCHMARK = """
import signal, sys, time
from pathlib import Path
from benchmarks.throughput import runs

signal.signal(signal.SIGHUP, signal.SIG_DFL)
runs.ROOT = Path(sys.argv[1])
runs.stack.up = lambda _: None
def down(_):
    time.sleep(0.5)  # for a second signal
    print("down", flush=True)
runs.stack.down = down
runs.stack.discard = lambda _: print("discarded", flush=True)
with runs.own_stack():
    print("up", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def settings() -> Iterator[Settings]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="tiktok-") as folder:
        settings = configuration.load({**inherited, **stack.free_port_environment(Path(folder) / "st")})
        yield settings
        airflow.down(settings)


def _until_ready(output: IO[bytes]) -> None:
    seen = b""
    while b"Ctrl-C stops it" not in seen:
        seen += os.read(output.fileno(), 4096)


def _closes_terminal(process: subprocess.Popen[bytes], terminal: IO[bytes]) -> None:
    terminal.close()


def _ends_the_reader_with_it(process: subprocess.Popen[bytes], terminal: IO[bytes]) -> None:
    """As Ctrl-C does with `make airflow 2>&1 | tee log`."""
    terminal.close()
    process.send_signal(signal.SIGINT)


def _tells_twice(process: subprocess.Popen[bytes], terminal: IO[bytes]) -> None:
    """As a shell and the kernel do when a terminal closes."""
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("ends", [_closes_terminal, _ends_the_reader_with_it, _tells_twice])
def test_airflow_stops_when_its_terminal_is_gone(
    settings: Settings, ends: Callable[[subprocess.Popen[bytes], IO[bytes]], None]
) -> None:
    ours, theirs = os.pipe() if ends is _ends_the_reader_with_it else os.openpty()
    with (
        open(ours, "rb", buffering=0) as terminal,  # noqa: PTH123 - a descriptor
        subprocess.Popen(
            [sys.executable, "-c", _AIRFLOW],
            cwd=ROOT,
            env=dict(settings.environment),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: os.isatty(2) and fcntl.ioctl(2, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one thread
        ) as process,
    ):
        os.close(theirs)
        try:
            _until_ready(terminal)
            daemon = supervisor.running(airflow._own(settings).run_dir)
            assert daemon
            processes = [psutil.Process(daemon), *psutil.Process(daemon).children()]
            assert len(processes) == 2
            ends(process, terminal)
            process.wait(60)
        finally:
            process.kill()
    assert not [one for one in processes if supervisor._alive(one.pid)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_benchmark_that_is_told_to_end_takes_its_stack_with_it(number: int, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _BENCHMARK, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        process.send_signal(signal.SIGHUP)
        assert process.stdout.read() == "down\ndiscarded\n"
        assert process.wait(60) in {128 + number, 128 + signal.SIGHUP}  # two at once come in any order
    assert list((tmp_path / "build").iterdir()) == []


def test_what_nohup_keeps_running_stays() -> None:
    program = """
import signal, time
from local import signals
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signals.interrupt_once()
signal.raise_signal(signal.SIGHUP)
try:
    signal.raise_signal(signal.SIGTERM)
except KeyboardInterrupt:
    signal.raise_signal(signal.SIGINT)
    print("once")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "once\n"
