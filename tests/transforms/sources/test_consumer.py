"""What the reader logs."""

from __future__ import annotations

import logging

import pytest

from transforms.sources import consumer


def test_each_kind_of_line_is_logged_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    seldom, clock = consumer.Seldom(), [100.0]
    monkeypatch.setattr(consumer.time, "monotonic", lambda: clock[0])

    def passes(kind: str) -> bool:
        return seldom.filter(logging.LogRecord("x", logging.ERROR, "", 0, "%s [%s] %s", (kind, "c", "no route"), None))

    assert [passes(kind) for kind in ("FAIL", "FAIL", "AUTH", "FAIL")] == [True, False, True, False]
    clock[0] += consumer._REPEAT_SECONDS
    assert [passes("FAIL"), passes("FAIL")] == [True, False]
