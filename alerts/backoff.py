"""When to try again."""

from __future__ import annotations

import random
from typing import Final

FIRST_SECONDS: Final = 10.0
MOST_SECONDS: Final = 3600.0

_random = random.SystemRandom()


def pause(attempt: int, asked: float | None = None) -> float:
    """Return the seconds until the next attempt: twice as long each time, up to an hour, less up to half at random.

    The chance keeps services from coming back in step to a receiver that they brought down together.

    Args:
        attempt: number of the attempt that failed, from 1.
        asked: seconds that the receiver asks for at least.
    """
    longest = min(FIRST_SECONDS * 2 ** min(attempt - 1, 30), MOST_SECONDS)
    return max(_random.uniform(longest / 2, longest), asked or 0.0)
