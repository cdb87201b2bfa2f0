"""CPU time and memory of some processes and all below them, while something is measured."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

import psutil

EVERY_SECONDS = 0.5
# What a command line holds → what the process is. Others are named by their program.
_ROLES = {
    "worker_boot": "python workers",
    "TaskManagerRunner": "task manager",
    "ClusterEntrypoint": "job manager",
    "kafka.Kafka": "kafka",
    "throughput.raw": "raw reader",
    "peer.jar": "peer",
    "local.s3_server": "s3",
    "spawn_main": "raw reader",
}


class Usage:
    """Watches processes from entering to leaving the context.

    Args:
        roots: ids of the processes; all below them count too.
    """

    def __init__(self, *roots: int) -> None:
        self._roots = list(roots)
        self._before: dict[int, float] = {}
        self._cpu: dict[int, tuple[str, float]] = {}
        self._peak: dict[str, int] = defaultdict(int)
        self.peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="usage", daemon=True)

    def __enter__(self) -> Self:
        for process in self._processes():
            self._before[process.pid] = _seconds(process)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def add(self, root: int) -> None:
        """Watch another process and all below it."""
        self._roots.append(root)

    @property
    def cpu_seconds(self) -> Mapping[str, float]:
        """CPU seconds by role; of a process that has ended, as far as it was last seen."""
        spent: dict[str, float] = defaultdict(float)
        for pid, (role, seconds) in self._cpu.items():
            spent[role] += seconds - self._before.get(pid, 0.0)
        return spent

    @property
    def peak_of(self) -> Mapping[str, int]:
        """Largest memory of a single process, by role, bytes."""
        return self._peak

    def _watch(self) -> None:
        while not self._done.wait(EVERY_SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        total = 0
        for process in self._processes():
            try:
                command, seconds = " ".join(process.cmdline()), _seconds(process)
                # A process that has ended, and that nobody has waited for yet, has no command line any more.
                known = self._cpu.get(process.pid)
                role = known[0] if known and not command else _role(command, process.name())
                memory = process.memory_info().rss
            except psutil.Error:
                continue
            self._cpu[process.pid] = role, seconds
            self._peak[role] = max(self._peak[role], memory)
            total += memory
        self.peak_bytes = max(self.peak_bytes, total)

    def _processes(self) -> Iterator[psutil.Process]:
        for root in self._roots:
            try:
                process = psutil.Process(root)
                yield process
                yield from process.children(recursive=True)
            except psutil.Error:
                continue


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _role(command: str, program: str) -> str:
    return next((role for mark, role in _ROLES.items() if mark in command), program)
