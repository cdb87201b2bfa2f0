"""What `make clean` removes: all that is the stack's, nothing that is somebody else's, and nothing of a stack that runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local import airflow, stack, web
from local import settings as configuration
from local.settings import PLACES, Settings, StackError


def _settings(folder: Path) -> Settings:
    return configuration.load({"PATH": os.environ["PATH"], **stack.free_port_environment(folder)})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return _settings(tmp_path / "stack")


def _fill(settings: Settings) -> None:
    """As a stack does, with a dashboard and an Airflow."""
    stack.claim(settings)
    stack.claim(web._own(settings))
    airflow.environment(settings)
    for name in PLACES:
        path = settings.place(name)
        if name.startswith("demo"):
            path.touch()
        else:
            path.mkdir(exist_ok=True)
            (path / "x").touch() if name != "dashboard" else (path / "logs" / "x").touch()


def test_all_that_a_stack_keeps_goes_with_it(settings: Settings) -> None:
    _fill(settings)
    stack.discard(settings)
    assert not settings.stack_dir.exists()
    stack.discard(settings)  # nothing is there any more


def test_what_others_have_put_beside_a_stack_stays(settings: Settings) -> None:
    for name in ("photos/mine.txt", "dashboard/app.py"):
        (settings.stack_dir / name).parent.mkdir(parents=True)
        (settings.stack_dir / name).touch()
    _fill(settings)
    stack.discard(settings)
    left = sorted(str(path.relative_to(settings.stack_dir)) for path in settings.stack_dir.rglob("*"))
    assert left == ["dashboard", "dashboard/app.py", "photos", "photos/mine.txt"]


def test_where_no_stack_was_nothing_is_removed(settings: Settings) -> None:
    logs = settings.log_dir / "mine.log"
    logs.parent.mkdir(parents=True)
    logs.touch()
    stack.discard(settings)
    assert logs.exists()


def test_a_link_is_removed_and_what_it_points_at_stays(settings: Settings, tmp_path: Path) -> None:
    stack.claim(settings)
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "x").touch()
    settings.place("s3").symlink_to(tmp_path / "disk")
    stack.discard(settings)
    assert not settings.stack_dir.exists()
    assert (tmp_path / "disk" / "x").exists()


def test_a_stack_does_not_take_what_is_there_for_its_own(settings: Settings) -> None:
    logs = settings.log_dir / "mine.log"
    logs.parent.mkdir(parents=True)
    settings.place("kafka").mkdir()  # empty: nobody's
    logs.touch()
    with pytest.raises(
        StackError, match=r"is not a stack's, and has logs already: choose another folder with STACK_DIR"
    ):
        stack.up(settings)
    assert not settings.run_dir.exists()


def test_another_airflow_of_the_users_is_not_taken_over(settings: Settings) -> None:
    database = airflow.home(settings) / "airflow.db"
    database.parent.mkdir(parents=True)
    database.touch()
    with pytest.raises(StackError, match=r"has airflow\.db already"):
        airflow.environment(settings)
    stack.discard(settings)
    assert database.exists()
