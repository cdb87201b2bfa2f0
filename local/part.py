"""A part of the stack: how it is described, made ready to start, and asked whether it is well."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.settings import Address, StackError


class NotReadyError(Exception):
    """A part does not answer as it should, yet."""


Say = Callable[[str], None]  # shows a person one line of progress


@dataclass(frozen=True)
class Launch:
    """How to start a part's process."""

    command: Sequence[str]
    user: str | None = None  # runs as this user when the supervisor is root
    directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One supervised process. Making one has no effects; ``launch`` fetches, renders and initialises what it needs."""

    name: str
    title: str
    listens: Sequence[Address]  # the ports it takes on this machine
    where: str  # shown to people
    launch: Callable[[Say], Launch]
    check: Callable[[], str]  # what it answers, in a few words; raises NotReadyError
    log: Path  # where its own log goes
    output: Path  # where its stdout and stderr go; the same file for programs that log there
    order: int  # started in this order, stopped in the reverse
    stop_signal: str = "TERM"
    inherits: bool = False  # sees the pipelines' settings and secrets
    children: Path | None = None  # where the stdout and stderr of processes that it starts go, if not to its own

    @property
    def logs(self) -> list[Path]:
        """All of its logs."""
        return [log for log in dict.fromkeys((self.log, self.output, self.children)) if log]


def python() -> str:
    """The Python of this environment, under one name whichever of its names runs."""
    return str(Path(sys.prefix) / "bin" / "python3")


def java() -> str:
    """The ``java`` to run, as the same path whether PATH or JAVA_HOME leads to it.

    Raises:
        StackError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which(str(Path(home) / "bin" / "java") if home else "java")
    if found is None:
        message = "no Java found: install a JRE 17 (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME"
        raise StackError(message)
    return os.path.realpath(found)


def write_if_changed(path: Path, text: str, mode: int = 0o644) -> None:
    """Write ``text``, leaving an equal file and its time stamp alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    path.chmod(mode)
