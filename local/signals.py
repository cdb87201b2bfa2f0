"""Ctrl-C, `kill` and a closed terminal: each ends a command in the same way, and none disturbs it while it stops things."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


def ending() -> list[signal.Signals]:
    """Return the signals that end a command: not a hang-up that `nohup` has switched off."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if ignored else [signal.SIGHUP])]


def interrupt_once() -> None:
    """Have each of them raise ``KeyboardInterrupt``, Ctrl-C even where a shell has switched it off; the first one only."""
    _first(_interrupt)


def exit_once() -> None:
    """Have `kill` and a closed terminal raise ``SystemExit``, as Ctrl-C raises ``KeyboardInterrupt``; the first one only."""
    _first(_exit, besides=signal.SIGINT)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let none of them end what must be done to its end."""
    before = {number: signal.signal(number, _nothing) for number in ending()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first(end: Callable[[int], NoReturn], besides: signal.Signals | None = None) -> None:
    numbers = ending()

    def handle(number: int, _: FrameType | None) -> NoReturn:
        # A terminal that closes hangs up twice, by the shell and by the kernel.
        for each in numbers:
            signal.signal(each, _nothing)
        end(number)

    for number in numbers:
        if number != besides:
            signal.signal(number, handle)


def _interrupt(_: int) -> NoReturn:
    raise KeyboardInterrupt


def _exit(number: int) -> NoReturn:
    raise SystemExit(128 + number)


def _nothing(_: int, __: FrameType | None) -> None:
    pass
