"""Fixtures: one private stack for all integration tests, on free ports, with its data in a folder of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import settings as configuration
from local import stack as embedded
from local.settings import ROOT, Settings


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """The running stack; its addresses and secrets are in ``os.environ`` while tests run."""
    folder = ROOT / "build" / f"test-stack-{os.getpid()}"
    given = embedded.free_port_environment(folder)
    before = dict(os.environ)
    os.environ.update(given)
    settings = configuration.load()
    os.environ.update(settings.environment)
    try:
        embedded.up(settings, lambda line: print(line, flush=True))
        yield settings
    finally:
        embedded.down(settings)
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Settings]:
    """Postgres alone, migrated, with its logins; nothing is put into ``os.environ``."""
    folder = ROOT / "build" / f"test-postgres-{os.getpid()}"
    settings = configuration.load({**os.environ, **embedded.free_port_environment(folder)})
    try:
        embedded.up(settings, lambda line: print(line, flush=True), only={"postgres"})
        yield settings
    finally:
        embedded.down(settings)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lake_folder(tmp_path: Path) -> str:
    """An empty lake in a folder."""
    return str(tmp_path / "lake")
