"""Dead letters as lines of the lake and as messages of a topic."""

from __future__ import annotations

import json

import pytest

from transforms.dead_letters import MAX_MESSAGE, DeadLetter, Reason


def letter(raw: bytes) -> DeadLetter:
    return DeadLetter(Reason.NOT_JSON, "no JSON", "posts", 1, 2**40, 1_600_000_000_000, raw)


@pytest.mark.parametrize(("raw", "field"), [(b"{x\n", ("raw", "{x\n")), (b"\xff", ("raw_base64", "/w=="))])
def test_a_letter_holds_the_bytes(raw, field):
    line = json.loads(letter(raw).to_json())
    name, value = field
    assert line.pop(name) == value
    assert line == {
        "reason": "not_json", "detail": "no JSON", "topic": "posts", "partition": 1, "offset": 2**40,
        "timestamp_ms": 1_600_000_000_000,
    }  # fmt: skip
    assert letter(raw).to_message() == letter(raw).to_json()


@pytest.mark.parametrize("raw", [b"\0" * 180_000, b"\xff" * 800_000])
def test_what_a_broker_would_not_take_is_told_without_its_bytes(raw):
    assert len(letter(raw).to_json()) > MAX_MESSAGE
    message = json.loads(letter(raw).to_message())
    assert message["raw_bytes"] == len(raw)
    assert {"raw", "raw_base64"}.isdisjoint(message)
    assert message["offset"] == 2**40
