"""The service's loops, without servers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psycopg2
import pytest

from alerts import outbox, service
from alerts.settings import load

SETTINGS = load(
    {"ALERTS_SLACK_URL": "http://127.0.0.1:1/TOKEN", "ALERTS_POLL_SECONDS": "0.1", "ALERTS_DIGEST_ABOVE": "0"}
)


class Connection:
    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_loop_that_breaks_ends_the_whole_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "enqueue", lambda *_: 1 // 0)
    monkeypatch.setattr(outbox, "claim", lambda *_: None)
    with pytest.raises(ZeroDivisionError):
        service.run(SETTINGS, Connection)


def test_a_broken_connection_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def enqueue(connection: Connection, *_: object) -> int:
        used.append(connection)
        if len(used) == 1:
            raise psycopg2.OperationalError
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    monkeypatch.setattr(service, "_RECONNECT_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "enqueue", enqueue)
    monkeypatch.setattr(outbox, "claim", lambda *_: None)
    service.run(SETTINGS, Connection)
    assert used[0] is not used[-1]
