"""An incident and messages of it, for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from alerts.incidents import Driver, Incident, SamplePost, Stage
from alerts.outbox import Digest, Message

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)

INCIDENT = Incident(
    incident_id=7,
    keyword="dance",
    kind="surge",
    severity="high",
    state="open",
    status="provisional",
    opened_at=NOON.replace(hour=10, minute=15),
    last_at=NOON.replace(hour=11, minute=45),
    closed_at=None,
    peak_at=NOON.replace(hour=11, minute=30),
    peak_score=3.1,
    peak_mentions=1234,
    peak_expected=14.21,
    shape="pulse",
    updated_at=NOON,
    watched=False,
    muted=False,
    detector="return_period",
    drivers=(Driver("summer", 2),),
    posts=(SamplePost(7234567890123456789, "look at this"),),
)


def incident(**changes: Any) -> Incident:
    return msgspec.structs.replace(INCIDENT, **changes)


def message(event: Stage = Stage.OPENED, thread_id: str | None = None, **changes: Any) -> Message:
    message_id = "0c6b2f6e-6a43-4c0e-8f0f-2f2d9f0b3c11"
    return Message(1, message_id, event, incident(**changes), 1, NOON, thread_id or message_id)


def digest(count: int, **changes: Any) -> Digest:
    """A digest of so many messages, every second one critical."""
    severities = ("high", "critical")
    messages = [
        message(incident_id=i, severity=severities[i % 2], peak_score=1 + i / 10, **changes) for i in range(count)
    ]
    return Digest.of("7e4a6d5c-5d0e-4a53-9a1f-0a7c5e0f2b11", messages)
