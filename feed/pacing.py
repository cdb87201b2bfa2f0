"""How fast posts are sent: as fast as possible, at a rate, or as they happened."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_SLICE_SECONDS = 0.5
_WORTH_SLEEPING = 0.002
_CATCH_UP_SECONDS = 5.0


@dataclass
class Pacer:
    """Waits until a post is due.

    Attributes:
        rate: posts per second, on average; after a stop of the sink, at most some seconds are caught up with.
        speedup: how many times faster than they happened; posts that are out of order, or that nobody knows when they
            happened, are due at once.
        clock: seconds, monotonic.
        sleep: waits.
        idle: called at least every half second of waiting.
    """

    rate: float | None = None
    speedup: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    idle: Callable[[], None] = lambda: None
    _began: float | None = field(default=None, init=False)
    _first: float = field(default=0.0, init=False)
    _posts: int = field(default=0, init=False)

    def wait(self, time_stamp: float) -> None:
        """Wait until the next post, whose event time is given, is due."""
        if self.rate is None and self.speedup is None:
            return
        if self._began is None:
            if self.speedup is not None and not time_stamp > 0:
                return
            self._began, self._first = self.clock(), time_stamp
        due = self._began
        if self.rate is not None:
            due += self._posts / self.rate
            if (behind := self.clock() - due - _CATCH_UP_SECONDS) > 0:
                self._began += behind
        elif self.speedup is not None:
            due += (time_stamp - self._first) / self.speedup
        self._posts += 1
        while (left := due - self.clock()) > _WORTH_SLEEPING:
            self.sleep(min(left, _SLICE_SECONDS))
            self.idle()
