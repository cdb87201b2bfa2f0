"""What `down` finds of a stack whose files or whose supervisor are gone, and what it must not touch."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local import __main__ as cli
from local import airflow, clean, stack, supervisor
from local import settings as configuration
from local.part import Launch, Part
from local.settings import ROOT, Settings, StackError
from local.supervisor import Supervisor


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="tiktok-") as folder:
        yield Path(folder)


@pytest.fixture
def settings(folder: Path) -> Iterator[Settings]:
    settings = configuration.load({"PATH": os.environ["PATH"], **stack.free_port_environment(folder / "st")})
    yield settings
    for one in (settings, airflow._own(settings)):
        Supervisor(one).stop()
        Supervisor(one).stop_orphans()


def _start(settings: Settings) -> list[psutil.Process]:
    """Start a stack that is a sleep, and return its supervisor and the sleep."""
    log = settings.log_dir / "sleep.log"
    part = Part(
        name="sleep",
        title="Sleep",
        listens=[],
        where="-",
        launch=lambda _: Launch(["/bin/sleep", "600"]),
        check=lambda: "ok",
        log=log,
        output=log,
        order=1,
        inherits=True,
    )
    stack.claim(settings)
    stack.start(settings, [part], {"PATH": os.environ["PATH"]}, lambda _: None)
    pid = supervisor.running(settings.run_dir)
    child = (Supervisor(settings).processes() or {})["sleep"].pid
    assert pid
    return [psutil.Process(pid), psutil.Process(child)]


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if supervisor._alive(process.pid)]


def _loses_files(settings: Settings) -> None:
    shutil.rmtree(settings.run_dir)
    stack.claim(settings)  # as a start does


def _loses_folder(settings: Settings) -> None:
    shutil.rmtree(settings.stack_dir)


@pytest.mark.parametrize("loses", [_loses_files, _loses_folder])
def test_a_supervisor_without_its_files_is_ended_with_its_parts(
    settings: Settings, loses: Callable[[Settings], None]
) -> None:
    processes = _start(settings)
    loses(settings)
    assert stack.down(settings)
    assert _alive(processes) == []
    assert not stack.down(settings)


def test_a_start_ends_what_an_earlier_supervisor_still_keeps_running(settings: Settings) -> None:
    old = _start(settings)
    _loses_files(settings)
    new = _start(settings)
    assert _alive(old) == []
    assert _alive(new) == new


def test_a_supervisor_that_cannot_be_asked_is_told_by_a_signal(settings: Settings) -> None:
    processes = _start(settings)
    (settings.run_dir / "supervisor.sock").unlink()
    assert Supervisor(settings).stop(seconds=30)
    assert _alive(processes) == []


def test_who_reads_the_configuration_is_no_supervisor(settings: Settings) -> None:
    stack.claim(settings)
    reader = [sys.executable, "-c", "import time; time.sleep(600)", "-c", str(settings.run_dir / "supervisord.conf")]
    with subprocess.Popen(reader) as process:
        try:
            assert Supervisor(settings).stop_orphans() == []
            assert process.poll() is None
        finally:
            process.kill()


def test_down_stops_an_airflow_that_was_left_behind(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "load", lambda **_: settings)
    airflow.environment(settings)
    processes = _start(airflow._own(settings))
    assert cli.main(["down"]) == 0
    assert _alive(processes) == []


def test_an_airflow_in_the_foreground_is_for_its_own_terminal_to_end(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(configuration, "load", lambda **_: settings)
    monkeypatch.setattr(clean, "BUILD", folder)
    airflow.environment(settings)
    own = airflow._own(settings)
    processes = [*_start(own), *_start(settings)]
    with stack.only_one(own):
        for main in (lambda: cli.main(["down"]), clean.main):
            assert main() == 1
            told = capsys.readouterr().err
            assert told == (
                f"error: Airflow runs in a terminal (`make airflow`): Ctrl-C there stops it (process {os.getpid()})\n"
            )
            assert _alive(processes) == processes
    assert cli.main(["down"]) == 0


def test_clean_stops_its_own_stack_and_deletes_it(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "load", lambda **_: settings)
    monkeypatch.setattr(clean, "BUILD", folder)
    airflow.environment(settings)
    processes = [*_start(airflow._own(settings)), *_start(settings)]
    assert clean.main() == 0
    assert _alive(processes) == []
    assert not settings.stack_dir.exists()


@pytest.mark.parametrize("part", [".", "dashboard", "airflow"])
def test_clean_leaves_all_as_it_is_while_another_stack_below_build_runs(
    part: str, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = configuration.load({"PATH": os.environ["PATH"], **stack.free_port_environment(folder / "other" / part)})
    monkeypatch.setattr(configuration, "load", lambda **_: settings)
    monkeypatch.setattr(clean, "BUILD", folder)
    own, others = _start(settings), _start(other)
    try:
        assert clean.main() == 1
        told = capsys.readouterr().err
        assert told.startswith(f"error: a stack runs in {folder / 'other'} (process {others[0].pid})")
        assert f"STACK_DIR={folder / 'other'} .venv/bin/python -m local down" in told
        assert len(told.splitlines()) == 1
        assert _alive([*own, *others]) == [*own, *others]
    finally:
        stack.down(other)
    os.kill(own[0].pid, signal.SIGKILL)  # what is dead does not hold it up, nor does its file
    assert clean.main() == 0


def test_make_clean_does_not_delete_what_it_must_not(folder: Path) -> None:
    """The recipe stops at the first error, before it removes build/."""
    command = ["make", "--no-print-directory", "--dry-run", "clean"]  # the tests' own make makes this one the second
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == "rm -rf build"
    assert "-m local.clean" in lines[-2]


def test_two_at_once_are_told_which_process_is_at_work(settings: Settings) -> None:
    stack.claim(settings)
    with stack.only_one(settings), pytest.raises(StackError, match=rf"wait for it to end \(process {os.getpid()}\)"):
        stack.down(settings)
