"""Airflow on this machine: its settings and login, and that all of it starts and stops."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from local import airflow
from local import settings as configuration
from local.ports import free_ports
from local.settings import ROOT, Settings, StackError
from local.stack import free_port_environment


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    port = str(free_ports(1)[0])
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return configuration.load({**inherited, **free_port_environment(tmp_path / "stack"), "AIRFLOW_PORT": port})


def test_the_login_is_private_and_kept(settings: Settings) -> None:
    environment = airflow.environment(settings)
    password = airflow.password(settings)
    assert len(password) >= 16
    assert airflow.password(settings) == password
    file = Path(environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert json.loads(file.read_text(encoding="utf-8")) == {airflow.USER: password}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(airflow.home(settings).stat().st_mode) == 0o700


def test_the_signing_key_is_long_enough_and_kept(settings: Settings) -> None:
    key = airflow.environment(settings)["AIRFLOW__API_AUTH__JWT_SECRET"]
    assert len(key) >= 64
    assert airflow.environment(settings)["AIRFLOW__API_AUTH__JWT_SECRET"] == key


def test_a_setting_of_the_users_own_wins(settings: Settings) -> None:
    assert airflow.environment(settings)["AIRFLOW__CORE__PARALLELISM"] == "2"
    given = replace(settings, environment={**settings.environment, "AIRFLOW__CORE__PARALLELISM": "8"})
    assert airflow.environment(given)["AIRFLOW__CORE__PARALLELISM"] == "8"


def test_another_airflow_of_the_users_stays_as_it_is(settings: Settings) -> None:
    theirs = {"AIRFLOW_HOME": "/home/me/airflow", "AIRFLOW_CONFIG": "/home/me/airflow/airflow.cfg"}
    given = airflow.environment(replace(settings, environment={**settings.environment, **theirs}))
    assert given["AIRFLOW_HOME"] == str(airflow.home(settings))
    assert given["AIRFLOW_CONFIG"] == str(airflow.home(settings) / "airflow.cfg")


def test_without_its_environment_one_line_says_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(airflow, "PYTHON", tmp_path / "python")
    with pytest.raises(StackError, match="run `make airflow-setup`"):
        airflow.prepare(settings)


# Stands for Airflow: it starts a pipeline in a session of its own, and needs a while to end.
_AIRFLOW = """
import subprocess, sys, time
pipeline = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"], stdin=-3, stdout=-3, stderr=-3, start_new_session=True
)
try:
    print(pipeline.pid, flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    time.sleep(1)
    print("ended well", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_command_that_is_told_to_end_is_waited_for_with_its_pipeline(number: int) -> None:
    program = """if True:
        import os, signal, sys
        from local.airflow import run_command
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # even if the tests run below nohup, whose choice is kept
        sys.exit(run_command(sys.argv[1:], dict(os.environ)))
    """
    with subprocess.Popen(
        [sys.executable, "-c", program, sys.executable, "-c", _AIRFLOW],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        pipeline = psutil.Process(int(process.stdout.readline()))
        process.send_signal(number)
        assert process.stdout.readline() == "ended well\n"
        assert process.wait(60) == 128 + number
    assert not pipeline.is_running() or pipeline.status() == psutil.STATUS_ZOMBIE


def test_a_command_tells_how_it_ended() -> None:
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    try:
        assert airflow.run_command([sys.executable, "-c", "raise SystemExit(7)"], dict(os.environ)) == 7
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_it_starts_tells_the_login_and_stops(settings: Settings) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "local.airflow"],
        cwd=ROOT,
        env=dict(settings.environment),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        told = ""
        for line in process.stderr:
            told += line
            if line.startswith(("Ctrl-C", "error")):
                break
        listening = {
            (connection.laddr.ip, connection.laddr.port)
            for one in _of(settings)
            for connection in one.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        process.send_signal(signal.SIGINT)
        told += process.stderr.read()
        assert process.wait(90) == 0, told
    assert f"http://{settings.airflow}" in told
    assert airflow.password(settings) in told
    assert "tiktok_daily, paused" in told
    assert listening == {("127.0.0.1", settings.airflow.port)}
    assert _of(settings) == []


def _of(settings: Settings) -> list[psutil.Process]:
    """Return the processes of this Airflow."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AIRFLOW_HOME") == str(airflow.home(settings)):
                found.append(process)
        except psutil.Error:
            continue
    return found
