"""The service as a process: delivery, retries, kills, and two of them side by side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.settings import ROOT
from tests.alerts.conftest import Database, Received, Receiver, StartMailServer

pytestmark = pytest.mark.integration

SECRET = "whsec_" + "c2VjcmV0" * 4


class Commands:
    """Runs ``python -m alerts`` on the test's database and receivers."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.processes: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "alerts", *arguments],
            cwd=ROOT,
            env={**self.environment, **changes},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def start(self, log: Path, **changes: str) -> subprocess.Popen[str]:
        with log.open("a") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "alerts"],
                cwd=ROOT,
                env={**self.environment, **changes},
                stdout=output,
                stderr=output,
                text=True,
            )
        self.processes.append(process)
        return process


@pytest.fixture
def commands(database: Database, receiver: Receiver) -> Iterator[Commands]:
    settings = database.settings
    commands = Commands(
        {
            "PATH": os.environ["PATH"],
            "NO_PROXY": "127.0.0.1",
            **{name: settings.environment[name] for name in ("PGHOST", "PGPORT", "PGDATABASE")},
            "PGALERTS_USER": settings.alerts.user,
            "PGALERTS_PASSWORD": settings.alerts.password,
            "ALERTS_WEBHOOK_URL": f"{receiver.url}/hook/TOKEN",
            "ALERTS_WEBHOOK_SECRET": SECRET,
            "ALERTS_POLL_SECONDS": "0.1",
            # Empty: what the project's own .env says must not reach the tests.
            **dict.fromkeys(("ALERTS_SLACK_URL", "ALERTS_SMTP_HOST", "ALERTS_QUIET_HOURS", "DASHBOARD_URL"), ""),
        }
    )
    yield commands
    for process in commands.processes:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def ready(database: Database) -> bool:
    return bool(database.run("SELECT channel FROM alert_channels"))


def types(receiver: Receiver) -> list[str]:
    return [json.loads(body)["type"] for body in receiver.bodies()]


def test_the_life_of_an_incident_on_three_channels(
    commands: Commands, database: Database, receiver: Receiver, start_mail_server: StartMailServer, tmp_path: Path
) -> None:
    server = start_mail_server()
    process = commands.start(
        tmp_path / "log",
        ALERTS_SLACK_URL=f"{receiver.url}/services/TOKEN",
        ALERTS_SMTP_HOST="127.0.0.1",
        ALERTS_SMTP_PORT=str(server.port),
        ALERTS_EMAIL_FROM="a@x.org",
        ALERTS_EMAIL_TO="b@y.org",
    )
    wait_for(lambda: ready(database))
    incident = database.incident()
    steps: list[dict[str, Any]] = [{}, {"status": "confirmed"}, {"state": "closed"}, {"state": "retracted"}]
    for number, step in enumerate(steps, start=1):
        if step:
            database.change(incident, **step)
        wait_for(lambda expected=3 * number: len(receiver.requests) + len(server.postbox.envelopes) == expected)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    by_path = {path: [r for r in receiver.requests if r.path == path] for path in ("/hook/TOKEN", "/services/TOKEN")}
    assert [json.loads(request.body)["type"] for request in by_path["/hook/TOKEN"]] == [
        "incident.opened",
        "incident.confirmed",
        "incident.closed",
        "incident.retracted",
    ]
    titles = [json.loads(request.body)["text"].partition(":")[0] for request in by_path["/services/TOKEN"]]
    assert titles == ["New", "Confirmed", "Over", "Retracted"]
    assert Counter(state for _, _, state, _ in database.messages()) == {"sent": 12}
    log = (tmp_path / "log").read_text()
    for secret in ("TOKEN", SECRET, commands.environment["PGALERTS_PASSWORD"]):
        assert secret not in log


def test_failures_are_tried_again_with_the_same_message(
    commands: Commands, database: Database, receiver: Receiver
) -> None:
    commands.run("run", "--once")
    database.incident()
    answers = iter([500, 503, 200])
    receiver.answer = lambda _: (next(answers), {})
    for attempt in (1, 2, 3):
        assert commands.run("run", "--once").returncode == 0
        assert database.messages() == [("webhook", "opened", "sent" if attempt == 3 else "pending", attempt)]
        (due,) = database.run("SELECT due_at > now() FROM alert_outbox")
        assert due == (True,)
        commands.run("run", "--once")
        assert len(receiver.requests) == attempt  # not before its time
        database.run("UPDATE alert_outbox SET due_at = now()")
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len(set(receiver.bodies())) == 1


def test_giving_up_is_told(commands: Commands, database: Database, receiver: Receiver) -> None:
    commands.run("run", "--once")
    database.incident()
    receiver.answer = lambda _: (500, {})
    done = commands.run("run", "--once", ALERTS_ATTEMPTS="1")
    assert "given up after attempt 1: HTTP 500" in done.stderr
    status = commands.run("status")
    assert status.returncode == 1
    assert "webhook: opened 'dance', 1 attempts, given up: HTTP 500" in status.stdout
    assert "TOKEN" not in status.stdout
    receiver.answer = lambda _: (200, {})
    assert commands.run("retry").stdout == "1 messages are due again\n"
    commands.run("run", "--once")
    assert commands.run("status").returncode == 0
    assert database.messages() == [("webhook", "opened", "sent", 2)]


def test_a_service_killed_between_sending_and_noting_it(
    commands: Commands, database: Database, receiver: Receiver, tmp_path: Path
) -> None:
    arrived, release = threading.Event(), threading.Event()

    def hold(_: Received) -> tuple[int, dict[str, str]]:
        arrived.set()
        release.wait(60)
        return 200, {}

    receiver.answer = hold
    process = commands.start(tmp_path / "log", ALERTS_LEASE_SECONDS="2")
    wait_for(lambda: ready(database))
    database.incident()
    assert arrived.wait(60)
    process.kill()
    process.wait()
    release.set()
    assert database.messages() == [("webhook", "opened", "pending", 1)]
    receiver.answer = lambda _: (200, {})
    commands.start(tmp_path / "log")
    wait_for(lambda: database.messages() == [("webhook", "opened", "sent", 2)])
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]  # so that the receiver can tell
    assert first.body == second.body


def test_a_restart_sends_nothing_again(commands: Commands, database: Database, receiver: Receiver) -> None:
    commands.run("run", "--once")
    incident = database.incident()
    for _ in range(3):
        commands.run("run", "--once")
    database.change(incident, peak_mentions=999)
    commands.run("run", "--once")
    assert types(receiver) == ["incident.opened"]


def test_two_services_send_each_message_once(
    commands: Commands, database: Database, receiver: Receiver, tmp_path: Path
) -> None:
    def slow(_: Received) -> tuple[int, dict[str, str]]:
        time.sleep(0.02)
        return 200, {}

    receiver.answer = slow
    processes = [commands.start(tmp_path / f"log{i}", ALERTS_DIGEST_ABOVE="0") for i in range(2)]
    for i in range(2):
        wait_for(lambda i=i: "Ctrl-C ends" in (tmp_path / f"log{i}").read_text())
    for i in range(60):
        database.incident(f"keyword{i}")
    wait_for(lambda: Counter(state for _, _, state, _ in database.messages()) == {"sent": 60})
    for process in processes:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert len(receiver.requests) == 60
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 60
    assert all(" sent" in (tmp_path / f"log{i}").read_text() for i in range(2))


def test_a_flood_reaches_people_as_one_message(
    commands: Commands, database: Database, receiver: Receiver, tmp_path: Path
) -> None:
    commands.run("run", "--once")
    keywords = [f"keyword{i}" for i in range(30)]
    for keyword in keywords:
        database.incident(keyword)
    for i in range(2):
        commands.start(tmp_path / f"log{i}")
    wait_for(lambda: Counter(state for _, _, state, _ in database.messages()) == {"sent": 30})
    (body,) = map(json.loads, receiver.bodies())
    assert body["type"] == "digest"
    assert sorted(incident["keyword"] for incident in body["data"]["incidents"]) == sorted(keywords)
    assert "digest of 30 messages to webhook: sent" in "".join((tmp_path / f"log{i}").read_text() for i in range(2))


def test_what_follows_of_a_flood_is_one_message_too(
    commands: Commands, database: Database, receiver: Receiver, tmp_path: Path
) -> None:
    commands.run("run", "--once")
    for i in range(30):
        database.incident(f"keyword{i}")
    arrived, release = threading.Event(), threading.Event()

    def hold(_: Received) -> tuple[int, dict[str, str]]:
        arrived.set()
        release.wait(60)
        return 200, {}

    receiver.answer = hold
    commands.start(tmp_path / "log")
    assert arrived.wait(60)
    database.run("UPDATE incidents SET status = 'confirmed', updated_at = clock_timestamp()")
    wait_for(lambda: len(database.messages()) == 60)  # the updates wait for the digest, which is under way
    release.set()
    wait_for(lambda: Counter(state for _, _, state, _ in database.messages()) == {"sent": 60})
    assert types(receiver) == ["digest", "digest"]


def test_a_channel_that_hangs_holds_up_no_other(
    commands: Commands, database: Database, receiver: Receiver, start_mail_server: StartMailServer, tmp_path: Path
) -> None:
    server = start_mail_server()
    release = threading.Event()
    receiver.answer = lambda _: (200 if release.wait(60) else 500, {})
    mail = {"ALERTS_SMTP_HOST": "127.0.0.1", "ALERTS_SMTP_PORT": str(server.port)}
    commands.start(tmp_path / "log", **mail, ALERTS_EMAIL_FROM="a@x.org", ALERTS_EMAIL_TO="b@y.org")
    wait_for(lambda: ready(database))
    for keyword in ("dance", "ramen"):
        database.incident(keyword)
    wait_for(lambda: (len(server.postbox.envelopes), len(receiver.requests)) == (2, 1))
    release.set()
    wait_for(lambda: len(receiver.requests) == 2)


def day_and_night(commands: Commands) -> list[dict[str, str]]:
    """Settings with which it is not quiet now, and with which it is: two halves of the day."""
    halves = [{"ALERTS_QUIET_HOURS": hours} for hours in ("00:00-12:00", "12:00-00:00")]
    return sorted(halves, key=lambda half: "quiet now" in commands.run("status", **half).stdout)


def test_quiet_hours_hold_and_critical_passes(commands: Commands, database: Database, receiver: Receiver) -> None:
    commands.run("run", "--once")
    database.incident("dance")
    database.incident("ramen", severity="critical")
    _, quiet = day_and_night(commands)
    commands.run("run", "--once", **quiet)
    assert receiver.requests == []
    commands.run("run", "--once", **quiet, ALERTS_QUIET_CRITICAL_PASSES="yes")
    assert [json.loads(body)["data"]["keyword"] for body in receiver.bodies()] == ["ramen"]
    commands.run("run", "--once")
    assert [json.loads(body)["data"]["keyword"] for body in receiver.bodies()] == ["ramen", "dance"]


def test_quiet_hours_part_what_came_as_one_flood_before(
    commands: Commands, database: Database, receiver: Receiver
) -> None:
    commands.environment |= {"ALERTS_QUIET_CRITICAL_PASSES": "yes", "ALERTS_DIGEST_ABOVE": "2"}
    day, night = day_and_night(commands)
    commands.run("run", "--once", **day)
    for i in range(8):
        database.incident(f"keyword{i}", severity="high" if i % 2 else "critical")
    receiver.answer = lambda _: (500, {})
    commands.run("run", "--once", **day)
    before = {request.headers["webhook-id"]: request.body for request in receiver.requests}
    database.run("UPDATE alert_outbox SET due_at = now()")
    receiver.requests.clear()
    receiver.answer = lambda _: (200, {})
    commands.run("run", "--once", **night)
    (request,) = receiver.requests
    assert before[request.headers["webhook-id"]] == request.body
    assert [incident["severity"] for incident in json.loads(request.body)["data"]["incidents"]] == ["critical"] * 4
    commands.run("run", "--once", **day)
    assert {request.headers["webhook-id"] for request in receiver.requests} == set(before)


def test_the_test_command_tells_how_each_channel_does(
    commands: Commands, receiver: Receiver, start_mail_server: StartMailServer
) -> None:
    server = start_mail_server()
    mail = {"ALERTS_SMTP_HOST": "127.0.0.1", "ALERTS_SMTP_PORT": str(server.port)}
    mail |= {"ALERTS_EMAIL_FROM": "a@x.org", "ALERTS_EMAIL_TO": "b@y.org"}
    done = commands.run("test", **mail)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"webhook: sent to {receiver.url}/…",
        f"email: sent to b@y.org by 127.0.0.1:{server.port}",
    ]
    assert types(receiver) == ["test"]
    assert b"Subject: Test: test" in server.postbox.envelopes[0].content
    receiver.answer = lambda _: (500, {})
    done = commands.run("test", **mail)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == f"webhook: FAILED, {receiver.url}/…: HTTP 500"


def test_mute_and_unmute(commands: Commands, database: Database, receiver: Receiver) -> None:
    commands.run("run", "--once")
    assert commands.run("mute", "#Dance", "--for", "8h", "--reason", "ours").stdout == "dance: muted\n"
    database.incident("dance")
    commands.run("run", "--once")
    assert receiver.requests == []
    status = commands.run("status").stdout
    assert "muted: 'dance' until" in status
    assert "(ours)" in status
    # As a word it is counted without its ending; as a hashtag with it.
    assert commands.run("mute", "McDonald's").stdout == "mcdonald: muted\n"
    assert commands.run("mute", "#McDonald's").stdout == "mcdonald's: muted\n"
    assert commands.run("unmute", "DANCE").returncode == 0
    assert "dance is not muted" in commands.run("unmute", "dance").stderr


@pytest.mark.parametrize(
    ("arguments", "changes", "says"),
    [
        ([], {"ALERTS_WEBHOOK_URL": ""}, "no channel is set up: set ALERTS_WEBHOOK_URL"),
        (["test"], {"ALERTS_WEBHOOK_SECRET": "TOKEN"}, "ALERTS_WEBHOOK_SECRET: expected whsec_"),
        ([], {"PGPORT": "1"}, "no connection to Postgres"),
        ([], {"PGALERTS_PASSWORD": "TOKEN"}, "password authentication failed"),
        ([], {"PGDATABASE": "postgres", "PGALERTS_USER": "postgres"}, "Postgres has no tables of the alerts yet"),
        (["mute", "two words"], {}, "is not one keyword"),
    ],
)
def test_one_line_says_what_is_wrong(
    commands: Commands, database: Database, arguments: list[str], changes: dict[str, str], says: str
) -> None:
    if changes.get("PGALERTS_USER") == "postgres":
        changes = {**changes, "PGALERTS_PASSWORD": database.settings.admin.password}
    done = commands.run(*arguments, **changes)
    assert done.returncode == 2
    assert done.stderr.startswith("error: "), done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert "TOKEN" not in done.stderr


def test_postgres_may_go_away_for_a_while(
    commands: Commands, database: Database, receiver: Receiver, tmp_path: Path
) -> None:
    commands.start(tmp_path / "log")
    wait_for(lambda: ready(database))
    database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'alerts'")
    database.incident()
    wait_for(lambda: types(receiver) == ["incident.opened"])
