"""supervisord: keeps the parts running, restarts them, rotates their logs; asked through XML-RPC."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from local.part import Launch, Part, write_if_changed
from local.settings import Settings, StackError

_SOCKET_PATH_LIMIT = 90  # bytes; the kernel takes about 104, and supervisord appends its process id
_SHORT = Path("/tmp")  # noqa: S108 - the same for every shell, whatever its TMPDIR; whose the folder is gets checked
_MODULE = "supervisor.supervisord"
_CONFIG = "supervisord.conf"
PID_FILE = "supervisord.pid"
LOG = "supervisord.log"
_BARE_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "JAVA_HOME")


@dataclass(frozen=True)
class Process:
    """What the supervisor knows of a part."""

    state: str  # RUNNING, STARTING, BACKOFF, FATAL, EXITED, STOPPED …
    pid: int  # 0 when there is none
    started: float  # epoch seconds
    now: float

    @property
    def failed(self) -> bool:
        """It is not running and will not come by itself."""
        return self.state in {"FATAL", "EXITED", "STOPPED", "UNKNOWN"}


class Supervisor:
    """The supervisord of one stack, running or not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config = settings.run_dir / _CONFIG
        self._pid_file = settings.run_dir / PID_FILE
        self._socket = _socket(settings.run_dir)
        self.log = settings.log_dir / LOG

    def processes(self) -> dict[str, Process] | None:
        """Each part's process by name; None when no supervisor runs."""
        answer = self._call("getAllProcessInfo")
        if answer is None:
            return None
        return {
            info["name"]: Process(info["statename"], info["pid"], float(info["start"]), float(info["now"]))
            for info in answer
        }

    def write(self, parts: Sequence[tuple[Part, Launch]], environment: Mapping[str, str]) -> bool:
        """Write the configuration; tell if a running supervisor works with another one."""
        # Without what differs from shell to shell. The environment holds secrets, so only its digest is kept.
        same = self._render(parts, bare={}, worker_path="")
        stamp = hashlib.sha256(repr((same, sorted(environment.items()))).encode()).hexdigest()
        stamp_file = self._config.with_suffix(".sha256")
        if self.processes() is not None:
            return not stamp_file.exists() or stamp_file.read_text(encoding="utf-8") != stamp
        bare = {name: os.environ[name] for name in _BARE_ENVIRONMENT if name in os.environ}
        write_if_changed(self._config, self._render(parts, bare, self._settings.worker_path), 0o600)
        write_if_changed(stamp_file, stamp, 0o600)
        return False

    def start(self, environment: Mapping[str, str]) -> None:
        """Start supervisord, and with it every part.

        Raises:
            StackError: it does not come up.
        """
        self._settings.log_dir.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", _MODULE, "-c", str(self._config)],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
            cwd=self._settings.stack_dir,
        )
        deadline = time.monotonic() + 10
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.processes() is not None:
                return
            time.sleep(0.1)
        message = f"supervisord did not start: {(done.stdout + done.stderr).strip() or self.log}"
        raise StackError(message)

    def restart(self, name: str) -> None:
        """Start a part that has given up; whether it comes is for ``processes`` to tell."""
        self._call("startProcess", name, False)

    def stop(self, seconds: float = 60) -> bool:
        """Stop every part and supervisord itself; tell if it was running."""
        pid = running(self._settings.run_dir)
        if self._call("shutdown") is None:
            if pid is None:
                return False
            os.kill(pid, signal.SIGTERM)  # it means the same; the socket is gone, or nobody reads it
        deadline = time.monotonic() + seconds
        while pid is not None and _alive(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        if pid is not None and _alive(pid):
            os.kill(pid, signal.SIGTERM)
            message = f"supervisord (process {pid}) does not stop: see {self.log}"
            raise StackError(message)
        return True

    def stop_orphans(self) -> list[int]:
        """End a supervisor whose files are gone, then what one that was killed left running; name the processes. Linux only."""
        if self.processes() is not None:
            return []
        # First, or it would start again what is ended below it. It needs a while to stop its parts in their order.
        supervisors = self._lost()
        _end(supervisors, seconds=60)
        orphans = self._parts_without_supervisor()
        _end(orphans, seconds=10)
        return supervisors + orphans

    def _lost(self) -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = entry.read_bytes().split(b"\0")
                ours = os.geteuid() in {0, entry.stat().st_uid}
            except OSError:
                continue  # gone meanwhile
            if ours and _MODULE.encode() in command and os.fsencode(self._config) in command:
                found.append(int(entry.parent.name))
        return found

    def _parts_without_supervisor(self) -> list[int]:
        mark = f"SUPERVISOR_SERVER_URL=unix://{self._socket}".encode()
        orphans = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in entry.read_bytes().split(b"\0"):
                    orphans.append(int(entry.parent.name))
            except OSError:
                continue  # gone meanwhile, or somebody else's
        return [pid for pid in orphans if pid != os.getpid()]

    def _call(self, method: str, *arguments: Any) -> Any:
        if not self._socket.exists():
            return None
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, HTTPException, xmlrpc.client.Error):
            return None
        finally:
            transport.close()

    def _render(self, parts: Sequence[tuple[Part, Launch]], bare: Mapping[str, str], worker_path: str) -> str:
        """Return the configuration; ``bare`` is the environment of parts that do not inherit, ``worker_path`` the others' PATH."""
        lines = [
            "[supervisord]",
            f"pidfile={self._pid_file}",
            f"logfile={self.log}",
            "logfile_maxbytes=5MB",
            "logfile_backups=1",
            f"childlogdir={self._settings.log_dir}",
            *(["user=root"] if os.geteuid() == 0 else []),
            "[unix_http_server]",
            f"file={self._socket}",
            "chmod=0700",
            "[supervisorctl]",
            f"serverurl=unix://{self._socket}",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        ]
        for part, launch in parts:
            variables = {**launch.environment, **({"PATH": worker_path} if part.inherits else {})}
            command = list(launch.command)
            if not part.inherits:
                # Secrets are for the programs that need them; the mark lets `down` recognise what is ours.
                given = {**bare, **variables, "SUPERVISOR_SERVER_URL": f"unix://{self._socket}"}
                command = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in given.items()), *command]
                variables = {}
            lines += [
                f"[program:{part.name}]",
                f"command={_escape(shlex.join(command))}",
                f"priority={part.order}",
                "autostart=true",
                "autorestart=true",
                "startsecs=2",
                "startretries=5",
                f"stopsignal={part.stop_signal}",
                "stopwaitsecs=20",
                "killasgroup=true",
                "redirect_stderr=true",
                f"stdout_logfile={_escape(str(part.output))}",
                "stdout_logfile_maxbytes=20MB",
                "stdout_logfile_backups=2",
                *([f"directory={_escape(str(launch.directory))}"] if launch.directory else []),
                *([f"user={launch.user}"] if launch.user else []),
            ]
            if variables:
                pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in variables.items())
                lines.append(f"environment={pairs}")
        return "\n".join(lines) + "\n"


def running(run_dir: Path) -> int | None:
    """Return the process id of the supervisord of which the file tells, if it is alive and that stack's."""
    try:
        pid = int((run_dir / PID_FILE).read_text(encoding="utf-8"))
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and os.fsencode(run_dir / _CONFIG) not in command.read_bytes():
            return None  # the number was given to another program
    except (OSError, ValueError):
        return None
    return pid if _alive(pid) else None


def _end(pids: Sequence[int], seconds: float) -> None:
    """End processes; those that take too long are killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in filter(_alive, pids):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while any(map(_alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.1)


def _escape(text: str) -> str:
    return text.replace("%", "%%")


def _socket(run_dir: Path) -> Path:
    """The control socket, elsewhere when its path would be longer than the kernel allows."""
    path = run_dir / "supervisor.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
        return path
    digest = hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:12]
    folder = _SHORT / f"tiktok-stack-{os.geteuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        message = f"{folder} belongs to somebody else: remove it, or set STACK_DIR to a shorter path"
        raise StackError(message)
    return folder / "s.sock"


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True
    return state != "Z"
