from __future__ import annotations

import signal
import subprocess
import sys

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


def test_a_request_to_stop_is_taken_as_ctrl_c_and_a_second_one_does_not_disturb_the_clean_up():
    with subprocess.Popen(
        [sys.executable, "-c", CLEANS_UP], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "started\n"
        process.terminate()
        assert process.stdout.readline() == "cleaning up\n"
        process.terminate()
        assert process.stdout.readline() == "cleaned up\n"
        assert process.wait(10) == 130
        assert process.stderr.read() == "interrupted\n"


def test_a_program_that_hangs_tells_where():
    with subprocess.Popen(
        [sys.executable, "-c", CLEANS_UP], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGUSR1)
        told = [process.stderr.readline() for _ in range(3)]
        assert "most recent call first" in told[0]
        assert "in run" in told[1]
        process.terminate()
        assert process.wait(10) == 130
