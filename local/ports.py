"""Ports for a stack beside any other."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress

_CHOICE = range(10_000, 32_768)
"""Below those that the system hands out to connections, so that nobody is given one while its server is down."""


def free_ports(count: int) -> list[int]:
    """Return so many different ports of the loopback address that are free now."""
    ports: list[int] = []
    with ExitStack() as held:
        while len(ports) < count:
            probe, port = held.enter_context(socket.socket()), random.choice(_CHOICE)  # noqa: S311 - no secret
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
    return ports
