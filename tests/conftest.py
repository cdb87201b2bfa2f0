"""Fixtures: one private stack for all integration tests, on free ports, with its data in a folder of its own."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

from local import evidence
from local import settings as configuration
from local import stack as embedded
from local.settings import ROOT, Settings

# A busy machine is no failure: examples have no time limit.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def _is_one_of_several(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")  # of pytest-xdist


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where two workers share the tests, begin with the files that take longest: that need servers, or have most time."""
    if not _is_one_of_several(config):
        return
    needs_servers: dict[Path, bool] = {}
    seconds: dict[Path, int] = {}
    for item in items:
        timeout = item.get_closest_marker("timeout")
        needs_servers[item.path] = needs_servers.get(item.path, False) or bool(item.get_closest_marker("integration"))
        seconds[item.path] = max(seconds.get(item.path, 0), timeout.args[0] if timeout else 0)
    items.sort(key=lambda item: (needs_servers[item.path], seconds[item.path]), reverse=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test the ends of its stack's logs, and keep the logs."""
    report = yield
    stacks = {id(value): value for value in item.funcargs.values() if isinstance(value, Settings)}
    for settings in stacks.values():
        if not report.failed or not settings.log_dir.exists():
            continue
        evidence.note_jobs(settings)
        folder = evidence.keep_logs(settings, "test-failed")
        report.sections.append((f"stack, logs kept in {folder}", evidence.ends_of_logs(settings)))
    return report


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End, and show the threads, even if a test that failed left one that never ends: Python's exit would wait for it."""
    if _is_one_of_several(config):
        return  # it waits for the others, and is ended with them
    faulthandler.dump_traceback_later(120, exit=True, file=sys.__stderr__)


@contextmanager
def running(name: str, only: Collection[str] | None = None) -> Iterator[Settings]:
    """A stack beside any other; nothing is put into ``os.environ``.

    Args:
        name: of its folder below build/.
        only: names of the parts to start; all of them by default.
    """
    folder = ROOT / "build" / f"{name}-{os.getpid()}"
    settings = configuration.load({**os.environ, **embedded.free_port_environment(folder)})
    try:
        embedded.up(settings, lambda line: print(line, flush=True), only)
        yield settings
    finally:
        embedded.down(settings)
        embedded.discard(settings)


def kill(settings: Settings, name: str) -> None:
    """Kill a part of a stack, and wait until its supervisor has put another in its place."""

    def now() -> embedded.Health:
        return next(report for report in embedded.health(settings) if report.part.name == name)

    before = now().process
    assert before
    os.kill(before.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not ((report := now()).well and report.process and report.process.pid not in {0, before.pid}):
        assert time.monotonic() < deadline, report.answer
        time.sleep(0.2)


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """The running stack; its addresses and secrets are in ``os.environ`` while tests run."""
    before = dict(os.environ)
    with running("test-stack") as settings:
        os.environ.update(settings.environment)
        try:
            yield settings
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Settings]:
    """Postgres alone, migrated, with its logins; for the tests of the dashboard, which fill it once."""
    with running("test-postgres", {"postgres"}) as settings:
        yield settings


@pytest.fixture
def lake_folder(tmp_path: Path) -> str:
    """An empty lake in a folder."""
    return str(tmp_path / "lake")
