"""How far long work is: one line that is redrawn on a terminal, else a new line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

_REDRAW_SECONDS = 0.25
_LINE_SECONDS = 5.0
_ASK_EVERY = 64


class Progress:
    """Shows what ``describe`` says, at most so often.

    Args:
        describe: gives the line; its argument is the seconds since the start.
        stream: where to; standard error by default.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        describe: Callable[[float], str],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._describe = describe
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._interval = _REDRAW_SECONDS if self._terminal else _LINE_SECONDS
        self._began = self._told = clock()
        self._calls = 0
        self._drawn = False

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    def step(self) -> None:
        """Call this for each unit of quick work: only some calls look at the clock."""
        self._calls += 1
        if self._calls % _ASK_EVERY == 0:
            self.tell()

    def tell(self) -> None:
        """Show the line if it is time to."""
        now = self._clock()
        if now - self._told < self._interval:
            return
        self._told = now
        line = self._describe(now - self._began)
        if self._terminal:
            self._stream.write(f"\r{line}\x1b[K")
            self._drawn = True
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def say(self, line: str) -> None:
        """Show a line that stays."""
        self._stream.write(f"\r\x1b[K{line}\n" if self._drawn else f"{line}\n")
        self._drawn = False
        self._stream.flush()
