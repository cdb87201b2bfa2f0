"""The stack as a whole: up, down and how it is."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from local import flink, kafka, postgres, storage
from local.part import NotReadyError, Part, Say
from local.ports import free_ports
from local.settings import PLACES, S3_ENDPOINT, S3_KEYS, SECRETS, Place, Settings, StackError
from local.supervisor import LOG, Process, Supervisor

_TAIL = 20  # lines of a crashed part's log
INNER: tuple[Place, ...] = ("airflow", "dashboard")
"""Stacks within the stack, with ``run`` and ``logs`` of their own."""


@dataclass(frozen=True)
class Health:
    """One part, as a person wants to know it."""

    part: Part
    process: Process | None
    answer: str  # what it said, or why it is not well
    well: bool


def describe(settings: Settings) -> list[Part]:
    """Every part; nothing is written or started."""
    return [postgres.part(settings), kafka.part(settings), *storage.parts(settings), *flink.parts(settings)]


def _unheard(_: str) -> None:
    pass


def up(settings: Settings, say: Say = _unheard, only: Collection[str] | None = None) -> None:
    """Start what does not run, wait until all is well, and make database, bucket and topics.

    Args:
        settings: of the stack.
        say: hears of the progress.
        only: names of the parts to start; all of them by default.

    Raises:
        StackError: a port is taken, a part crashed or did not become healthy in time.
    """
    claim(settings)
    with only_one(settings):
        environment = {**settings.environment, **storage.server_environment(settings)}
        parts = [part for part in describe(settings) if only is None or part.name in only]
        start(settings, parts, environment, say)
        provision(settings, say, only)


def claim(settings: Settings, *, whole: bool = False) -> None:
    """Make STACK_DIR a stack's, with the folders that every start needs.

    Args:
        settings: of the stack.
        whole: take the folder as such; else only the places in it that are the stack's.

    Raises:
        StackError: somebody else has something there, which the stack would overwrite and `make clean` delete.
    """
    folder = settings.stack_dir
    if not _is_claimed(settings) and folder.exists():
        names = [entry.name for entry in folder.iterdir()] if whole else [n for n in PLACES if n not in INNER]
        if taken := [name for name in names if _holds_something(folder / name)]:
            message = (
                f"{folder} is not a stack's, and has {', '.join(sorted(taken))} already: "
                "choose another folder with STACK_DIR in .env"
            )
            raise StackError(message)
    for made in (settings.run_dir, settings.log_dir):
        made.mkdir(parents=True, exist_ok=True)
    settings.run_dir.chmod(0o700)
    _lock(settings).touch()


def start(settings: Settings, parts: Sequence[Part], environment: Mapping[str, str], say: Say) -> None:
    """Start those of ``parts`` that do not run, and wait until all are well.

    Raises:
        StackError: a port is taken, a part crashed or did not become healthy in time.
    """
    supervisor = Supervisor(settings)
    launches = [(part, part.launch(say)) for part in parts]
    if supervisor.write(launches, _relevant(settings)):
        message = "the stack runs with other settings: `python -m local down` first, then `up` again"
        raise StackError(message)
    if supervisor.processes() is None:
        if orphans := supervisor.stop_orphans():
            say(f"ended {len(orphans)} processes that an earlier start had left behind")
        _require_free_ports(parts)
        supervisor.start(environment)
    else:
        _start_failed(parts, supervisor, say)
    began = time.monotonic()
    for part in parts:
        _wait(part, supervisor, settings.start_timeout, say, began)


def provision(settings: Settings, say: Say, only: Collection[str] | None = None) -> None:
    """Create what is missing inside the servers: database, tables, logins, topics, bucket."""
    wanted = {"postgres", "s3", "kafka"} if only is None else set(only)
    if "postgres" in wanted:
        for done in postgres.provision(settings):
            say(f"Postgres: {done}")
    if "s3" in wanted and storage.create_bucket(settings):
        say(f"S3: created the bucket {settings.bucket}")
    if "kafka" in wanted:
        for done in kafka.provision(settings):
            say(f"Kafka: {done}")


def down(settings: Settings) -> bool:
    """Stop everything that belongs to this stack; tell if anything ran."""
    supervisor = Supervisor(settings)
    if not settings.run_dir.exists():  # deleted, perhaps below a stack that runs
        return bool(supervisor.stop_orphans())
    with only_one(settings):
        stopped = supervisor.stop()
        return bool(supervisor.stop_orphans()) or stopped


def discard(settings: Settings) -> None:
    """Delete what a stack that is down has stored, wherever it lies; what others have put beside it stays."""
    postgres.discard(settings)
    airflow, dashboard = (replace(settings, stack_dir=settings.place(name)) for name in INNER)
    if _is_claimed(airflow):  # whole: what Airflow keeps beside its database is not for us to list
        _remove(airflow.stack_dir)
    for one in (dashboard, settings):
        if _is_claimed(one):
            for name in PLACES:
                if name not in INNER:
                    _remove(one.place(name))
        with suppress(OSError):  # not empty, or not there
            one.stack_dir.rmdir()


def free_port_environment(stack_dir: Path) -> dict[str, str]:
    """Settings of a stack beside any other: ports that are free now, fresh secrets, and ``stack_dir`` for its data.

    Give them to ``settings.load``, with ``PATH`` and the like, or to a child process.
    """
    kafka_port, controller, rest, rpc, database, s3, dashboard = free_ports(7)
    return {
        "STACK_DIR": str(stack_dir.resolve()),
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka_port}",
        "KAFKA_CONTROLLER_PORT": str(controller),
        "FLINK_MASTER": f"127.0.0.1:{rest}",
        "FLINK_RPC_PORT": str(rpc),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(database),
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{s3}",
        "DASHBOARD_ADDRESS": f"127.0.0.1:{dashboard}",
        **{name: secrets.token_hex(16) for name in SECRETS},
    }


def health(settings: Settings) -> list[Health]:
    """How each part is now."""
    processes = Supervisor(settings).processes() or {}
    return [_health(part, processes.get(part.name)) for part in describe(settings)]


def tail(path: Path, lines: int = _TAIL) -> str:
    """The last lines of a log that may be large."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def ends(logs: Iterable[Path]) -> str:
    """The last lines of some logs, each below its name; nothing of those that are empty."""
    return "\n".join(f"--- end of {log}\n{end}" for log in logs if (end := tail(log)))


def _relevant(settings: Settings) -> dict[str, str]:
    """The part of the environment that a change of matters: not a shell's own variables."""
    # A profile or a session token is nothing to a server of our own.
    s3 = ("AWS_",) if settings.s3 is None else (S3_ENDPOINT, *S3_KEYS, "AWS_DEFAULT_REGION")
    prefixes = ("KAFKA_", "TOPIC_", "FLINK_", "PG", "LAKE", "STACK_DIR", *s3)
    return {name: value for name, value in settings.environment.items() if name.startswith(prefixes)}


def _health(part: Part, process: Process | None) -> Health:
    if process is None:
        return Health(part, None, "not started", well=False)
    if process.state not in {"RUNNING", "STARTING"}:
        return Health(part, process, f"{process.state.lower()}: see {part.log}", well=False)
    try:
        return Health(part, process, part.check(), well=True)
    except (NotReadyError, StackError) as error:
        return Health(part, process, str(error), well=False)


def _start_failed(parts: Sequence[Part], supervisor: Supervisor, say: Say) -> None:
    """Start again what a running supervisor has given up."""
    processes = supervisor.processes() or {}
    failed = [part for part in parts if part.name in processes and processes[part.name].failed]
    _require_free_ports(failed)
    for part in failed:
        say(f"{part.title} had given up ({processes[part.name].state.lower()}): starting it again")
        supervisor.restart(part.name)


def _wait(part: Part, supervisor: Supervisor, seconds: float, say: Say, began: float) -> None:
    deadline = time.monotonic() + seconds
    reason = "no answer"
    while time.monotonic() < deadline:
        process = (supervisor.processes() or {}).get(part.name)
        if process is None or process.failed:
            break
        if process.state in {"RUNNING", "STARTING"}:
            try:
                answer = part.check()
            except NotReadyError as error:
                reason = str(error)
            else:
                say(f"{part.title:<19} ready after {time.monotonic() - began:4.1f} s  {part.where}  ({answer})")
                return
        time.sleep(0.25)
    else:
        message = f"{part.title} is not well after {seconds:.0f} s: {reason}\n{ends(part.logs)}"
        raise StackError(message)
    message = f"{part.title} crashed at start\n{ends(part.logs)}"
    raise StackError(message)


def _require_free_ports(parts: Sequence[Part]) -> None:
    for part in parts:
        for address in part.listens:
            host = address.host.strip("[]")
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, address.port))
                except OSError as error:
                    message = (
                        f"{part.title} cannot listen on {address} ({os.strerror(error.errno or 0).lower()}): "
                        f"stop what uses that port, or choose another with {address.setting} in .env"
                    )
                    raise StackError(message) from None


def _lock(settings: Settings) -> Path:
    return settings.run_dir / "lock"


def _is_claimed(settings: Settings) -> bool:
    # The log tells, too: ``run`` is what people delete by hand.
    return _lock(settings).is_file() or (settings.log_dir / LOG).is_file()


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else os.path.lexists(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class BusyError(StackError):
    """Another process holds a lock.

    Attributes:
        holder: its process id; empty if it has not told yet.
    """

    def __init__(self, message: str, holder: str) -> None:
        super().__init__(f"{message} (process {holder})" if holder else message)
        self.holder = holder


def only_one(settings: Settings) -> AbstractContextManager[None]:
    """Keep two `up` or `down` of the same stack from working at the same time."""
    return held(_lock(settings), f"another `python -m local` works on {settings.stack_dir}: wait for it to end")


@contextmanager
def held(lock: Path, busy: str) -> Iterator[None]:
    """Hold a lock, which ends with this process if not before; processes that it starts have no part in it.

    Raises:
        BusyError: another process holds it; ``busy`` says what that means.
    """
    with lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BusyError(busy, file.read()) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
