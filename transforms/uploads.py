"""Writes to the lake that go on in the background, so that a bundle reads on while its first objects are written."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, NamedTuple

from transforms import lake

AT_ONCE: Final = 4
"""Writes under way; each holds its object in memory."""


class _Upload(NamedTuple):
    data: bytes
    written: Future[None]


class Uploads:
    """Writes of objects, several at once. Not safe for threads: its owner has a lock.

    A write is durable when ``finish`` has returned. One that failed is not forgotten before that: it may be of a bundle
    that has not yet asked.

    Args:
        at_once: how many may be under way.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix="upload")
        self._started: dict[str, _Upload] = {}

    def start(self, url: str, data: bytes) -> None:
        """Begin to write an object, in place of what was there; waits while too many are under way."""
        before = self._started.pop(url, None)
        if before is not None:
            wait([before.written])  # the later write must stay
        while (
            len(under_way := [one.written for one in self._started.values() if not one.written.done()]) >= self._at_once
        ):
            wait(under_way, return_when=FIRST_COMPLETED)
        self._started = {address: one for address, one in self._started.items() if not _is_durable(one.written)}
        self._started[url] = _Upload(data, self._executor.submit(lake.put, url, data))

    def finish(self) -> None:
        """Wait until all that was started is durable.

        Raises:
            Exception: what the lake raised, at the second try of an object too.
        """
        for url, upload in list(self._started.items()):
            if upload.written.exception() is not None:
                lake.put(url, upload.data)
            del self._started[url]


def _is_durable(written: Future[None]) -> bool:
    return written.done() and written.exception() is None
