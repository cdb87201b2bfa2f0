"""``python -m dashboard`` as a person starts and ends it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from dashboard.config import Config
from local.settings import ROOT
from tests.dashboard.conftest import TOKEN
from tests.dashboard.world import World

COMMAND = [sys.executable, "-m", "dashboard"]


def environment(config: Config, **more: str) -> dict[str, str]:
    assert config.editor is not None
    return {
        **os.environ,
        "PGHOST": config.postgres["host"],
        "PGPORT": config.postgres["port"],
        "PGDATABASE": config.postgres["dbname"],
        "PGREADER_USER": config.reader.user,
        "PGREADER_PASSWORD": config.reader.password,
        "PGEDITOR_USER": config.editor.user,
        "PGEDITOR_PASSWORD": config.editor.password,
        "DASHBOARD_TOKEN": TOKEN,
        **more,
    }


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_teaches() -> None:
    text = run("--help").stdout
    for word in ("DASHBOARD_TOKEN", "PGREADER_PASSWORD", "/api/v1/openapi.json", "--address", "Ctrl-C"):
        assert word in text


@pytest.mark.integration
def test_it_says_where_it_is_and_ends_at_ctrl_c_with_a_listener(config: Config, world: World) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--address", "127.0.0.1:0"],
        cwd=ROOT,
        env=environment(config),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert url is not None
        with urllib.request.urlopen(url[0] + "api/v1/events") as events:
            assert events.readline() == b": listening\n"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "ERROR" not in errors


@pytest.mark.integration
def test_a_taken_address_and_a_missing_token_are_one_line(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("--address", address, env=environment(config))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cannot listen on {address}")
    done = run("--address", "0.0.0.0:0", env=environment(config, DASHBOARD_TOKEN="short"))
    assert done.returncode == 2
    assert "DASHBOARD_TOKEN" in done.stderr
    assert done.stderr.count("\n") == 1
