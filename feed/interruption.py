"""Ctrl-C at moments of one's own choosing: an interrupt must not fall between sending a post and counting it."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Interruption:
    """While it is entered, SIGINT and SIGTERM raise ``KeyboardInterrupt``, but not within ``hold`` … ``release``.

    In a thread other than the main one it does nothing: signals do not reach it.

    Attributes:
        signal: the signal that came; ``None`` if none did.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._held = False
        self._before: dict[signal.Signals, Any] = {}

    def hold(self) -> None:
        """Put off interrupts."""
        self._held = True

    def release(self) -> None:
        """Raise an interrupt that was put off, and let others through.

        Raises:
            KeyboardInterrupt: one came.
        """
        self._held = False
        if self.signal is not None:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        if not self._held:
            raise KeyboardInterrupt
