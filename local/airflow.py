"""Airflow on this machine: API server with the web UI, scheduler and DAG processor, with the project's DAG.

    python -m local.airflow                                        # what `make airflow` runs: until Ctrl-C
    python -m local.airflow run dags test tiktok_daily 2026-11-23  # any of Airflow's own commands, with these settings

Airflow lives in an environment of its own (``make airflow-setup``); this module only starts programs of it. Database,
logs and login are in ``STACK_DIR/airflow``. The database is SQLite: one task at a time asks for no more.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from urllib.request import Request, urlopen

from rich.console import Console

from local import settings as configuration
from local import signals, stack
from local.part import Launch, NotReadyError, Part
from local.settings import ROOT, Address, Settings, StackError
from local.supervisor import Supervisor

PYTHON = ROOT / ".venv-airflow" / "bin" / "python"
DAG = "tiktok_daily"
USER = "admin"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run Airflow until it is interrupted, or one of its commands."""
    parser = argparse.ArgumentParser(
        prog="python -m local.airflow", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--unpause", action="store_true", help=f"let {DAG} run by its schedule from now on")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser("run", help="run a command of Airflow", add_help=False, prefix_chars="\0")
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    signals.interrupt_once()
    try:
        settings = configuration.load(create=True)
        if options.command == "run":
            prepare(settings)
            return run_command(command(*options.arguments), environment(settings))
        _serve(settings, options.unpause, console)
        return 0
    except StackError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130


_MARK = "LOCAL_AIRFLOW_RUN"
"""Environment variable by which a run's processes are known, in whatever session they are."""


def run_command(arguments: Sequence[str], given: dict[str, str]) -> int:
    """Run a command to its end, however it is told to end, and return its exit code.

    A signal is passed on as Ctrl-C, which Airflow ends well at, and is waited for. A task's pipeline that Airflow then leaves
    behind is ended, too.
    """
    mark = secrets.token_hex(8)
    told: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: FrameType | None) -> None:
        told.append(number)
        # Ctrl-C reaches all programs of a terminal by itself.
        if process is not None and (number != signal.SIGINT or not _at_a_terminal()):
            process.send_signal(signal.SIGINT)

    for number in signals.ending():
        signal.signal(number, pass_on)
    process = subprocess.Popen(arguments, env={**given, _MARK: mark})
    if told:  # before there was anything to tell
        process.send_signal(signal.SIGINT)
    code = process.wait()
    if not told:
        return code
    _end_marked(f"{_MARK}={mark}")
    return 128 + told[0]


def _at_a_terminal() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _end_marked(mark: str, seconds: float = 20) -> None:
    """End the processes that have a mark in their environment; those that take too long are killed. Linux only."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + seconds
        told: set[int] = set()
        while (marked := _marked(mark)) and time.monotonic() < deadline:
            for pid in marked - told:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            told |= marked
            time.sleep(0.1)


def _marked(mark: str) -> set[int]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # gone meanwhile, or somebody else's
            if mark.encode() in entry.read_bytes().split(b"\0"):
                found.add(int(entry.parent.name))
    return found - {os.getpid()}


def home(settings: Settings) -> Path:
    """Return the folder of Airflow's database, logs, login and generated settings."""
    return settings.place("airflow")


def down(settings: Settings) -> bool:
    """Stop what a session that was killed left behind; tell if anything ran.

    Raises:
        BusyError: Airflow runs in a terminal.
    """
    try:
        return stack.down(_own(settings))
    except stack.BusyError as error:
        message = "Airflow runs in a terminal (`make airflow`): Ctrl-C there stops it"
        raise stack.BusyError(message, error.holder) from None


def command(*arguments: str) -> list[str]:
    """Return the command line of one of Airflow's own commands.

    Raises:
        StackError: Airflow is not installed.
    """
    if not PYTHON.exists():
        message = f"Airflow is not installed ({PYTHON} is missing): run `make airflow-setup`"
        raise StackError(message)
    return [str(PYTHON), "-m", "airflow", *arguments]


def environment(settings: Settings) -> dict[str, str]:
    """Return what Airflow's programs run with.

    An ``AIRFLOW__…`` variable of the user's own wins. Where another Airflow of theirs has its database and its settings does
    not: those would be migrated and used.
    """
    url = f"http://{settings.airflow}"
    # Airflow keeps the keys that it makes for itself in here, too.
    home(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    if not _key_file(settings).exists():
        stack.claim(_own(settings), whole=True)
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_password_file(settings)),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__HOST": settings.airflow.host,
        "AIRFLOW__API__PORT": str(settings.airflow.port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__EXPOSE_CONFIG": "False",
        # The key that Airflow makes by itself is shorter than its own signatures ask for.
        "AIRFLOW__API_AUTH__JWT_SECRET": _kept(_key_file(settings), partial(secrets.token_hex, 64)),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "SPT_NOENV": "1",  # a program that sets its title spares its environment, by which orphans are recognised
        **settings.environment,
        "AIRFLOW_HOME": str(home(settings)),
        "AIRFLOW_CONFIG": str(home(settings) / "airflow.cfg"),
    }


def prepare(settings: Settings) -> None:
    """Make or upgrade the database; safe to repeat.

    Raises:
        StackError: Airflow is not installed, or could not do it.
    """
    done = subprocess.run(
        command("db", "migrate"), env=environment(settings), capture_output=True, text=True, check=False
    )
    if done.returncode:
        message = f"Airflow's database could not be made:\n{(done.stdout + done.stderr).strip()}"
        raise StackError(message)


def password(settings: Settings) -> str:
    """Return the password of the web UI's login; it is made on first use, in a file that only its owner can read."""
    passwords: dict[str, str] = json.loads(_kept(_password_file(settings), _new_password))
    return passwords[USER]


def _own(settings: Settings) -> Settings:
    """Logs, process ids and the supervisor are apart from the stack's."""
    return replace(settings, stack_dir=home(settings))


def _key_file(settings: Settings) -> Path:
    return home(settings) / "jwt_secret"


def _password_file(settings: Settings) -> Path:
    return home(settings) / "passwords.json"


def _new_password() -> str:
    return json.dumps({USER: secrets.token_urlsafe(12)}) + "\n"


def _kept(file: Path, make: Callable[[], str]) -> str:
    """Return what a private file holds; write it first if it is not there."""
    if not file.exists():
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as new:  # noqa: PTH123 - a mode from the first byte on
            new.write(make())
    return file.read_text(encoding="utf-8")


def _serve(settings: Settings, unpause: bool, console: Console) -> None:
    """Start Airflow, say how to get in, and stay until something ends it."""
    own = _own(settings)
    given = environment(settings)
    for folder in (own.run_dir, own.log_dir):
        folder.mkdir(parents=True, exist_ok=True)
    supervisor = Supervisor(own)
    with stack.only_one(own):
        supervisor.stop()  # what a session that was killed left behind
        console.print("preparing Airflow's database …")
        prepare(settings)
        secret = password(settings)
        try:
            stack.start(own, _parts(settings), given, lambda line: console.print(line, markup=False))
            api = _Api(settings)
            dag = _await_dag(api)
            if unpause and dag["is_paused"]:
                dag = api.ask(f"/api/v2/dags/{DAG}", method="PATCH", body={"is_paused": False})
            state = "paused: switch it on in the UI, or start with --unpause" if dag["is_paused"] else "on"
            console.print(
                f"Airflow is ready: {api.url}\n  user      {USER}\n  password  {secret}\n  DAG       {DAG}, {state}\n"
                f"  logs      {own.log_dir}\nCtrl-C stops it.",
                markup=False,
            )
            with suppress(KeyboardInterrupt):
                _watch(supervisor)
        finally:
            with signals.undisturbed():
                supervisor.stop()
                supervisor.stop_orphans()
            # Not before: without its terminal, or what it was piped to, it raises.
            with suppress(OSError, SystemExit):
                console.print("Airflow is stopped")


def _parts(settings: Settings) -> list[Part]:
    """Describe Airflow's programs: their commands, and the names that the API's health report has for them."""
    return [
        _part(settings, "metadatabase", "api-server", listens=[settings.airflow]),
        # Logs are read from the folder that both share; the scheduler would serve them to the whole network.
        _part(settings, "scheduler", "scheduler", "--skip-serve-logs"),
        _part(settings, "dag_processor", "dag-processor"),
    ]


def _part(settings: Settings, name: str, program: str, *options: str, listens: Sequence[Address] = ()) -> Part:
    log = home(settings) / "logs" / f"{program}.log"
    return Part(
        name=program,
        title=f"Airflow {program}",
        listens=listens,
        where=f"http://{settings.airflow}",
        launch=lambda _: Launch(command(program, *options), directory=ROOT),
        check=lambda: _check(settings, name),
        log=log,
        output=log,
        order=1,
        inherits=True,
    )


def _check(settings: Settings, name: str) -> str:
    try:
        status = _Api(settings).ask("/api/v2/monitor/health")[name]["status"]
    except (OSError, ValueError) as error:
        raise NotReadyError(str(error)) from None
    if status != "healthy":
        reason = f"{name} is not healthy yet"
        raise NotReadyError(reason)
    return str(status)


class _Api:
    """Airflow's REST API."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://{settings.airflow}"
        self._settings = settings
        self._headers = {"Content-Type": "application/json"}

    def log_in(self) -> None:
        """Make further requests as the admin."""
        answer = self.ask("/auth/token", "POST", {"username": USER, "password": password(self._settings)})
        self._headers["Authorization"] = f"Bearer {answer['access_token']}"

    def ask(self, path: str, method: str = "GET", body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises:
            OSError: no answer, or one that says no.
            ValueError: the answer is not JSON.
        """
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data=data, headers=self._headers, method=method)  # noqa: S310 - an address of ours
        with urlopen(request, timeout=10) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
        return answer


def _await_dag(api: _Api, seconds: float = 60) -> dict[str, Any]:
    """Wait until the DAG processor has read the DAG, and return what Airflow knows of it.

    Raises:
        StackError: it has not in time.
    """
    api.log_in()
    deadline = time.monotonic() + seconds
    while True:
        for dag in api.ask("/api/v2/dags")["dags"]:
            if dag["dag_id"] == DAG:
                return dict(dag)
        errors = api.ask("/api/v2/importErrors")["import_errors"]
        if errors or time.monotonic() > deadline:
            traces = "\n".join(error["stack_trace"] for error in errors)
            message = f"Airflow does not take the DAG {DAG}\n{traces}".strip()
            raise StackError(message)
        time.sleep(0.5)


def _watch(supervisor: Supervisor) -> NoReturn:
    """Return only by an exception: a program that does not come up again, or Ctrl-C.

    Raises:
        StackError: a program has ended for good.
    """
    while True:
        time.sleep(2)
        processes = supervisor.processes() or {}
        ended = [name for name, process in processes.items() if process.failed]
        if ended or not processes:
            message = f"ended: {', '.join(ended) or 'the supervisor'}; see the logs"
            raise StackError(message)


if __name__ == "__main__":
    sys.exit(main())
