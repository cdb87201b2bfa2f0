"""What a second demo may remove: what the first one put there, and nothing else."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import psycopg2
import pytest
from rich.console import Console

from local import demo, demo_data, reset, signals, web
from local import settings as configuration
from local import stack as embedded
from local.demo_data import NOTHING, Note, Notes
from local.ports import free_ports
from local.settings import Address, Settings, StackError
from local.stack import free_port_environment

DAY = date(2026, 3, 1)
BEGAN = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)
NOTE = Note(DAY, BEGAN, BEGAN + timedelta(minutes=10), 1000)
IN_THE_DAY = datetime(2026, 3, 1, 23, 45, tzinfo=UTC)


@pytest.fixture
def cursor(postgres: Settings) -> Iterator[Any]:
    """Tables that are empty, and are again what they were afterwards."""
    connection = psycopg2.connect(
        host=postgres.postgres.host,
        port=postgres.postgres.port,
        dbname=postgres.database,
        user=postgres.admin.user,
        password=postgres.admin.password,
    )
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE window_totals, posts, baseline_versions CASCADE")
        yield cursor
    connection.rollback()
    connection.close()


def _count(cursor: Any, window: datetime) -> None:
    cursor.execute("INSERT INTO window_totals (window_start, posts, pane) VALUES (%s, 10, 1)", (window,))


def _parse(cursor: Any, seen_at: datetime) -> None:
    cursor.execute("SELECT ensure_day_partition('posts', %s)", (seen_at.date(),))
    cursor.execute("INSERT INTO posts (post_id, seen_at) VALUES (1, %s)", (seen_at,))


def _publish(cursor: Any, at: datetime) -> None:
    cursor.execute(
        "INSERT INTO baseline_versions (detector, history_from, history_to, keywords, published_at)"
        " VALUES ('return_period', %s, %s, 1, %s)",
        (BEGAN, BEGAN, at),
    )


@pytest.mark.integration
def test_what_the_demo_wrote_is_no_stranger(cursor: Any) -> None:
    assert demo_data.in_tables(cursor, NOTHING) == []
    _count(cursor, IN_THE_DAY)
    _count(cursor, datetime(2026, 3, 2, 9, 0, tzinfo=UTC))  # the window in which it sends posts of now
    _parse(cursor, IN_THE_DAY)
    _parse(cursor, BEGAN + timedelta(minutes=5))
    _publish(cursor, BEGAN + timedelta(minutes=1))
    assert demo_data.in_tables(cursor, NOTE) == []
    assert len(demo_data.in_tables(cursor, NOTHING)) == 3


@pytest.mark.integration
@pytest.mark.parametrize(
    ("put", "at", "says"),
    [
        (_count, datetime(2026, 3, 2, 9, 30, tzinfo=UTC), "counts of other windows"),
        (_count, datetime(2026, 2, 28, 23, 45, tzinfo=UTC), "counts of other windows"),
        (_parse, datetime(2026, 3, 2, 9, 30, tzinfo=UTC), "parsed posts of other days"),
        (_publish, BEGAN - timedelta(days=1), "other baselines"),
        (_publish, NOTE.until + timedelta(seconds=1), "other baselines"),
    ],
)
def test_what_is_outside_of_the_note_is_a_stranger(cursor: Any, put: Any, at: datetime, says: str) -> None:
    _count(cursor, IN_THE_DAY)
    put(cursor, at)
    assert demo_data.in_tables(cursor, NOTE) == [says]


def test_objects_of_other_days_in_the_lake_are_strangers() -> None:
    own = [f"s3://lake/raw/dt={day}/hh=09/posts-0-1.ndjson.zst" for day in ("2026-03-01", "2026-03-02")]
    assert demo_data.in_lake(own, NOTE) == []
    other = "s3://lake/raw/dt=2026-03-03/hh=09/posts-0-1.ndjson.zst"
    assert demo_data.in_lake([*own, other], NOTE) == [f"objects of other days in the lake ({other})"]
    assert len(demo_data.in_lake([*own, "s3://lake/notes.txt"], NOTE)) == 1
    assert demo_data.in_lake([], NOTHING) == []
    assert len(demo_data.in_lake(own, NOTHING)) == 1


def test_a_job_that_the_demo_did_not_start_is_a_stranger() -> None:
    def job(state: str = "RUNNING", name: str = demo_data.JOB, minutes: int = 1) -> dict[str, Any]:
        started = BEGAN + timedelta(minutes=minutes)
        return {"jid": "4f", "name": name, "state": state, "start-time": int(started.timestamp() * 1000)}

    assert demo_data.jobs([job(), job(name="another"), job(state="CANCELED", minutes=90)], NOTE) == []
    assert demo_data.jobs([job(minutes=90)], NOTE) == ["a running job tiktok-stream (4f)"]
    assert demo_data.jobs([job()], NOTHING) == ["a running job tiktok-stream (4f)"]


class Stack:
    """A stack of which only the number of records in its topic matters."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records = 0
        self.emptied = 0
        self.settings: Any = SimpleNamespace(place=lambda name: folder / name)
        monkeypatch.setattr(demo_data, "_records", lambda _: self.records)
        monkeypatch.setattr(demo, "strangers", self._strangers)
        monkeypatch.setattr(reset, "cancel_jobs", lambda *_: None)
        monkeypatch.setattr(reset, "empty", self._empty)

    def _strangers(self, _: Any, note: Note) -> list[str]:
        return ["too many posts"] if self.records > note.records else []

    def _empty(self, _: Any) -> None:
        self.emptied += 1
        self.records = 0

    def start(self, *, force: bool = False) -> None:
        """As a demo begins."""
        notes = Notes(self.settings)
        demo._start_afresh(self.settings, notes, force, Console(quiet=True))
        notes.begin(DAY)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(tmp_path, monkeypatch)


def test_a_demo_over_nothing_but_a_demo_does_not_ask(stack: Stack) -> None:
    stack.start()
    assert stack.emptied == 0  # there was nothing
    notes = Notes(stack.settings)
    notes.expect(100)
    stack.records = 100
    notes.end()
    stack.start()
    assert stack.emptied == 1


def test_a_demo_that_was_interrupted_is_known_too(stack: Stack) -> None:
    stack.start()
    Notes(stack.settings).expect(100)
    stack.records = 60  # killed while it sent
    stack.start()
    assert stack.emptied == 1


def test_data_that_came_after_a_demo_are_kept(stack: Stack) -> None:
    stack.start()
    notes = Notes(stack.settings)
    notes.expect(100)
    stack.records = 60  # interrupted, but it could still note what it had sent
    notes.end()
    stack.records += 1
    with pytest.raises(StackError, match=r"no demo put there \(too many posts\).*--reset"):
        stack.start()
    assert stack.emptied == 0
    stack.start(force=True)
    assert stack.emptied == 1


def test_a_note_that_cannot_be_read_covers_nothing(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "demo").touch()
    assert demo_data.read(tmp_path / "demo") == NOTHING
    stack.records = 1
    with pytest.raises(StackError):
        stack.start()


@pytest.mark.integration
def test_the_dashboard_runs_with_the_settings_of_now(postgres: Settings, tmp_path: Path) -> None:
    console = Console(quiet=True)
    settings = replace(postgres, stack_dir=tmp_path)
    try:
        for port in free_ports(2):
            address = Address("127.0.0.1", port, "DASHBOARD_ADDRESS")
            environment = {**postgres.environment, "DASHBOARD_ADDRESS": str(address)}
            now = replace(settings, dashboard=address, environment=environment)
            with urlopen(demo._dashboard(now, console), timeout=60) as answer:
                assert answer.status == 200
    finally:
        web.down(settings)


def test_without_its_port_the_dashboard_is_told_of_and_the_demo_goes_on(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        given = {**free_port_environment(tmp_path), "DASHBOARD_ADDRESS": address, "PATH": os.environ["PATH"]}
        told = demo._dashboard(configuration.load(given), Console(quiet=True))
    assert told.startswith(f"not started: Dashboard cannot listen on {address}")


def test_a_note_comes_back_as_it_was_written(stack: Stack) -> None:
    notes = Notes(stack.settings)
    notes.begin(DAY)
    note = notes.read()
    notes.expect(5)
    later = notes.read()
    assert (note.day, note.records) == (DAY, 0)
    assert replace(later, until=note.until) == replace(note, records=5)
    assert later.until >= note.until


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings that a demo loads; what a demo leaves in this process is taken back."""
    environment, handlers = dict(os.environ), {number: signal.getsignal(number) for number in signals.ending()}
    settings = configuration.load({"PATH": os.environ["PATH"], **free_port_environment(tmp_path / "stack")})
    monkeypatch.setattr(configuration, "load", lambda **_: settings)
    monkeypatch.setattr(embedded, "up", lambda *_: None)
    yield settings
    os.environ.clear()
    os.environ.update(environment)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_second_demo_on_the_stack_ends_before_it_touches_anything(
    alone: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[str] = []
    codes: list[int] = []

    def run(*_: Any) -> int:
        steps.append("run")
        if not codes:
            codes.append(0)
            codes.append(demo.main([]))
        return 0

    monkeypatch.setattr(embedded, "up", lambda *_: steps.append("up"))
    monkeypatch.setattr(demo, "_start_afresh", lambda *_: steps.append("start afresh"))
    monkeypatch.setattr(demo, "_run", run)
    monkeypatch.setattr(Notes, "end", lambda _: steps.append("end"))
    assert demo.main([]) == 0
    assert codes == [0, 1]
    assert steps == ["up", "start afresh", "run", "end"]
    told = capsys.readouterr().err
    assert told == f"error: a demo runs on this stack already: wait for it to end (process {os.getpid()})\n"
    assert demo.main([]) == 0  # that one is over


def test_a_demo_that_is_told_to_end_ends_its_step_and_lets_the_next_one_in(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any) -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0

    ended: list[bool] = []
    monkeypatch.setattr(demo, "_start_afresh", lambda *_: None)
    monkeypatch.setattr(Notes, "end", lambda _: ended.append(True))
    monkeypatch.setattr(demo, "_run", run)
    assert demo.main([]) == 130
    assert ended == [True]
    monkeypatch.setattr(demo, "_run", lambda *_: 0)
    assert demo.main([]) == 0
