from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from local.settings import ROOT

CLEANS_UP = """
import time
from programs.errors import start

def run(argv):
    try:
        print("started", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("cleaning up", flush=True)
        time.sleep(1)
        print("cleaned up", flush=True)
        raise
    return 0

start(run, [])
"""


@contextmanager
def started() -> Iterator[tuple[subprocess.Popen[str], IO[str], IO[str]]]:
    """The program above, when it has begun: with what it prints and its errors."""
    with subprocess.Popen(
        [sys.executable, "-c", CLEANS_UP], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "started\n"
        yield process, process.stdout, process.stderr


def test_a_request_to_stop_is_taken_as_ctrl_c_and_a_second_one_does_not_disturb_the_clean_up():
    with started() as (process, output, errors):
        process.terminate()
        assert output.readline() == "cleaning up\n"
        process.terminate()
        assert output.readline() == "cleaned up\n"
        assert process.wait(10) == 130
        assert errors.read() == "interrupted\n"


def test_a_program_that_hangs_tells_where():
    with started() as (process, _, errors):
        process.send_signal(signal.SIGUSR1)
        told = [errors.readline() for _ in range(3)]
        assert "most recent call first" in told[0]
        assert "in run" in told[1]
        process.terminate()
        assert process.wait(10) == 130
