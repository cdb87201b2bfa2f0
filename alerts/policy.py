"""Which message follows from what an incident is now and what was told of it before. Pure.

Per incident and channel there is at most one message of each stage, so four in all. The first one announces the incident,
however far it has come by then; the others say that it was confirmed, is over, or was retracted. A message that nobody
has tried to send yet (it waits for the end of the quiet hours, or its channel is down) is brought up to date rather than
followed by another, and taken back if it is no longer true.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alerts.incidents import Incident, Stage


class State(StrEnum):
    """What has become of a message."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"  # given up
    MUTED = "muted"


@dataclass(frozen=True)
class Told:
    """A message of an incident to a channel, as the outbox has it.

    Attributes:
        id: its row.
        stage: the incident's stage that it tells of.
        state: what has become of it.
        attempts: how often it was tried.
        incident_at: ``updated_at`` of the incident that it tells of.
    """

    id: int
    stage: Stage
    state: State
    attempts: int
    incident_at: datetime


@dataclass(frozen=True)
class Add:
    """Put a message in the outbox.

    Attributes:
        event: what the message is for: ``opened`` for the first of its incident.
        state: ``pending``, or ``muted`` for one that is kept only to be counted.
    """

    event: Stage
    state: State


@dataclass(frozen=True)
class Revise:
    """Bring a message that waits up to date.

    Attributes:
        id: its row.
        event: see ``Add``.
    """

    id: int
    event: Stage


@dataclass(frozen=True)
class Withdraw:
    """Take a message back that waits.

    Attributes:
        id: its row.
    """

    id: int


Change = Add | Revise | Withdraw


def plan(incident: Incident, told: Sequence[Told], severities: Collection[str], since: datetime) -> Change | None:
    """Decide what to do about an incident on one channel.

    Args:
        incident: as it is now.
        told: the messages of it to this channel, oldest first.
        severities: those that are alerted; keywords on the watchlist always are.
        since: when the channel came into use; what last changed before is not announced.
    """
    if any(message.state is State.MUTED for message in told):
        return None  # what began in silence stays silent
    stage, state = incident.stage, State.MUTED if incident.muted else State.PENDING
    waiting = told[-1] if told and told[-1].state is State.PENDING and not told[-1].attempts else None
    before = {message.stage for message in told if message is not waiting}
    if waiting is None:
        if before:
            return Add(stage, state) if _is_news(stage, before) else None
        chosen = incident.severity in severities or incident.watched
        current = stage in {Stage.OPENED, Stage.CONFIRMED} and incident.updated_at >= since
        return Add(Stage.OPENED, state) if chosen and current else None
    if not (_is_news(stage, before) if before else stage is not Stage.RETRACTED):
        return Withdraw(waiting.id)
    if incident.updated_at != waiting.incident_at:
        return Revise(waiting.id, stage if before else Stage.OPENED)
    return None


def _is_news(stage: Stage, before: Collection[Stage]) -> bool:
    """Tell if a stage is worth an update to somebody who was told of those before."""
    if stage is Stage.OPENED or stage in before:
        return False
    return not (stage is Stage.CONFIRMED and Stage.CLOSED in before)
