"""The outbox in Postgres: what is to be sent, by whom it is being sent, and what was sent.

Messages are put in by one service at a time (an advisory lock), in one transaction with what was read of the incidents.
They are taken out by any number of services, one message at a time: taking counts the attempt and makes the message due
again after a while, so that it is not lost with a service that dies while it sends. Delivery is at least once; the
message id, which stays the same, lets a receiver tell a repetition.

What is due to a channel all at once, and is more than a person reads one by one, is bundled into a digest: its rows share
an id, are taken together, and are sent as one message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from alerts.incidents import Incident, Stage, candidates, with_evidence
from alerts.policy import Add, Change, Revise, State, Told, Withdraw, plan
from detection.detector import SEVERITIES

KEEP_DAYS: Final = 90
"""After so long a message that is done with is forgotten."""

STALE_DAYS: Final = 7
"""A message that was due for so long and not sent (its channel was not set up, or no service ran) is given up."""

MOST_IN_DIGEST: Final = 500

_LOCK: Final = 0x616C6572  # of advisory locks, which all programs of a database share

LAST_ROW: Final = 2**63 - 1

_MUTED = "EXISTS (SELECT FROM alert_mutes m WHERE m.keyword = o.keyword AND (m.until IS NULL OR m.until > now()))"

_SILENCE = f"""
    UPDATE alert_outbox o SET state = 'muted', finished_at = now() WHERE o.state = %(state)s AND {_MUTED}
"""  # noqa: S608 - a text of our own

_ADD = """
    INSERT INTO alert_outbox (incident_id, channel, event, stage, keyword, severity, incident, incident_at, state,
        finished_at)
    VALUES (%(incident_id)s, %(channel)s, %(event)s, %(stage)s, %(keyword)s, %(severity)s, %(incident)s,
        %(incident_at)s, %(state)s, CASE WHEN %(state)s = 'muted' THEN now() END)
"""

_UNTRIED = "id = %(id)s AND state = 'pending' AND attempts = 0"

# What is of another severity now leaves its digest: quiet hours may hold the one and not the other.
_REVISE = f"""
    UPDATE alert_outbox SET event = %(event)s, stage = %(stage)s, severity = %(severity)s, incident = %(incident)s,
        incident_at = %(incident_at)s, digest = CASE WHEN severity = %(severity)s THEN digest END
    WHERE {_UNTRIED}
"""  # noqa: S608 - a text of our own

# What was tried keeps its content; but quiet hours must no longer hold it, nor by it what follows of its incident.
_RAISE = """
    UPDATE alert_outbox SET severity = 'critical'
    WHERE incident_id = ANY(%(critical)s) AND state = 'pending' AND severity <> 'critical'
"""

# A message waits for those before it of its incident, so that nobody hears of the end first. One that was put in, or made
# due again, while its keyword was being muted is still pending until the next round: neither saw the other. The time is that of
# the statement: the transaction may have begun before what it sees, and waited for its lock.
_DUE = f"""
    channel = %(channel)s AND state = 'pending' AND due_at <= statement_timestamp()
    AND NOT EXISTS (
        SELECT FROM alert_outbox e
        WHERE e.incident_id = o.incident_id AND e.channel = o.channel AND e.id < o.id AND e.state = 'pending'
    )
    AND NOT {_MUTED}
"""

_BUNDLE = f"""
    WITH due AS (
        SELECT id FROM alert_outbox o
        WHERE {_DUE} AND attempts = 0 AND digest IS NULL AND severity <> ALL(%(held)s)
            AND (severity = ANY(%(apart)s)) = %(are_apart)s
        ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
    ), name AS (SELECT gen_random_uuid() AS digest FROM due HAVING count(*) > %(above)s)
    UPDATE alert_outbox SET digest = name.digest FROM due, name WHERE alert_outbox.id = due.id
"""  # noqa: S608 - a text of our own

# Of a digest the first row stands for all, so that two services cannot both have a part of it. A row that is not held
# takes the others with it: what was tried cannot be parted any more.
_CLAIM = f"""
    WITH next AS (
        SELECT id, digest FROM alert_outbox o
        WHERE {_DUE} AND id <= %(up_to)s AND NOT EXISTS (
            SELECT FROM alert_outbox d WHERE d.digest = o.digest AND d.state = 'pending' AND d.id < o.id
        ) AND (severity <> ALL(%(held)s) OR EXISTS (
            SELECT FROM alert_outbox d
            WHERE d.digest = o.digest AND d.state = 'pending' AND d.severity <> ALL(%(held)s)
        ))
        ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE alert_outbox o SET attempts = attempts + 1, due_at = now() + make_interval(secs => %(lease)s)
    FROM next WHERE o.state = 'pending' AND (o.id = next.id OR o.digest = next.digest) AND NOT {_MUTED}
    RETURNING o.id, o.message_id::text, o.event, o.incident, o.attempts, o.created_at, (
        SELECT coalesce(e.digest, e.message_id)::text FROM alert_outbox e
        WHERE e.incident_id = o.incident_id AND e.channel = o.channel AND e.attempts > 0
        ORDER BY e.id LIMIT 1
    ), o.digest::text
"""  # noqa: S608 - a text of our own


@dataclass(frozen=True)
class Message:
    """One message on its way.

    Attributes:
        id: its row.
        message_id: what a receiver knows it by; the same in each attempt.
        event: what it is for.
        incident: the incident as it was when the message was made.
        attempt: 1 for the first.
        created_at: when it was made.
        thread_id: ``message_id`` of the first message of the incident to this channel.
        test: whether a person asked for it to see that it comes, and there is no such incident.
    """

    id: int
    message_id: str
    event: Stage
    incident: Incident
    attempt: int
    created_at: datetime
    thread_id: str
    test: bool = False

    @property
    def ids(self) -> list[int]:
        """Its row."""
        return [self.id]


@dataclass(frozen=True)
class Digest:
    """Several messages that go out as one.

    Attributes:
        message_id: what a receiver knows it by; the same in each attempt.
        messages: of different incidents, the most severe first. A mute between two attempts takes its own out.
    """

    message_id: str
    messages: tuple[Message, ...]

    @classmethod
    def of(cls, message_id: str, messages: Iterable[Message]) -> Digest:
        """Put messages in order."""

        def unusual(message: Message) -> tuple[int, float]:
            return SEVERITIES.index(message.incident.severity), message.incident.peak_score

        return cls(message_id, tuple(sorted(messages, key=unusual, reverse=True)))

    @property
    def ids(self) -> list[int]:
        """Rows of the messages."""
        return [message.id for message in self.messages]

    @property
    def attempt(self) -> int:
        """1 for the first."""
        return self.messages[0].attempt

    @property
    def created_at(self) -> datetime:
        """When its newest message was made."""
        return max(message.created_at for message in self.messages)

    @property
    def thread_id(self) -> str:
        """It begins a thread: what follows of its incidents answers to it."""
        return self.message_id


def open_channels(connection: Any, channels: Iterable[str]) -> None:
    """Note when each channel came into use, give up what is stale, and forget what is old."""
    with connection, connection.cursor() as cursor:
        for channel in channels:
            cursor.execute("INSERT INTO alert_channels (channel) VALUES (%s) ON CONFLICT DO NOTHING", (channel,))
        cursor.execute(
            "UPDATE alert_outbox SET state = 'failed', finished_at = now(), error = 'not sent within a week' "
            "WHERE state = 'pending' AND due_at < now() - make_interval(days => %s)",
            (STALE_DAYS,),
        )
        cursor.execute(
            "DELETE FROM alert_outbox WHERE state <> 'pending' AND finished_at < now() - make_interval(days => %s)",
            (KEEP_DAYS,),
        )


def enqueue(connection: Any, channels: Collection[str], severities: Collection[str]) -> int:
    """Turn changes of incidents into messages, in one transaction.

    Args:
        connection: to Postgres.
        channels: those in use, see ``open_channels``.
        severities: those that are alerted.

    Returns:
        How many messages were added, revised or withdrawn; 0 also while another service is at it.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,))
        if not cursor.fetchone()[0]:
            return 0
        silence(cursor)
        cursor.execute("SELECT channel, since FROM alert_channels WHERE channel = ANY(%s)", (list(channels),))
        since = dict(cursor.fetchall())
        found = candidates(cursor, severities)
        told = _told(cursor, [incident.incident_id for incident in found])
        changes = [
            (incident, channel, change)
            for incident in found
            for channel, start in since.items()
            if (change := plan(incident, told[incident.incident_id, channel], severities, start))
        ]
        full = {incident.incident_id: incident for incident, _, _ in changes}
        full = {number: with_evidence(cursor, incident) for number, incident in full.items()}
        for incident, channel, change in changes:
            _apply(cursor, full[incident.incident_id], channel, change)
        critical = [incident.incident_id for incident in found if incident.severity == "critical"]
        cursor.execute(_RAISE, {"critical": critical})
    return len(changes)


def silence(cursor: Any, state: State = State.PENDING) -> None:
    """Drop what is pending of muted keywords, or what was given up of them."""
    cursor.execute(_SILENCE, {"state": state})


def bundle(connection: Any, channel: str, held: Sequence[str], above: int, apart: Sequence[str] = ()) -> int:
    """Make digests of what is due and was not tried yet, if that is more than so many messages.

    Args:
        connection: to Postgres.
        channel: for which channel.
        held: severities that are not to be sent now.
        above: so many are sent one by one.
        apart: severities that share no digest with others: it is tried again as a whole, then maybe in the quiet hours.

    Returns:
        The last row that was there; what comes later may be of a flood that is still to be bundled.
    """
    values = {"channel": channel, "held": list(held), "above": above, "apart": list(apart), "most": MOST_IN_DIGEST}
    with connection, connection.cursor() as cursor:
        _lock(cursor, channel)
        cursor.execute("SELECT coalesce(max(id), 0) FROM alert_outbox")
        up_to = int(cursor.fetchone()[0])
        for are_apart in (True, False):
            bundled = MOST_IN_DIGEST
            while bundled == MOST_IN_DIGEST:  # one that is full may have left some
                cursor.execute(_BUNDLE, {**values, "are_apart": are_apart})
                bundled = cursor.rowcount
    return up_to


def _lock(cursor: Any, channel: str) -> None:
    """Let nobody bundle while somebody claims: a row would be claimed alone under the id of its new digest."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK, channel))


def claim(
    connection: Any, channel: str, held: Sequence[str], lease_seconds: float, up_to: int = LAST_ROW
) -> Message | Digest | None:
    """Take the next message or digest that is due, counting the attempt.

    Args:
        connection: to Postgres.
        channel: for which channel.
        held: severities that are not to be sent now.
        lease_seconds: unless it is reported by then, the message is due again.
        up_to: the last row that may be taken, see ``bundle``.
    """
    with connection, connection.cursor() as cursor:
        _lock(cursor, channel)
        cursor.execute(_CLAIM, {"channel": channel, "held": list(held), "lease": lease_seconds, "up_to": up_to})
        rows = cursor.fetchall()
    if not rows:
        return None
    messages = [message for row in rows if (message := _read(connection, *row[:-1]))]
    if not messages:
        return claim(connection, channel, held, lease_seconds, up_to)
    digest = rows[0][-1]
    return Digest.of(digest, messages) if digest else messages[0]


def _read(
    connection: Any,
    number: int,
    message_id: str,
    event: str,
    snapshot: Any,
    attempt: int,
    created_at: datetime,
    thread_id: str | None,
) -> Message | None:
    """Make a message of its row; what cannot be read is given up."""
    try:
        incident = msgspec.convert(snapshot, Incident)
    except msgspec.ValidationError as error:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                # Without its digest: tried again, it would come alone under an id that the receiver knows.
                "UPDATE alert_outbox SET state = 'failed', digest = NULL, finished_at = now(), error = %s WHERE id = %s",
                (f"made by another version of the program: {error}", number),
            )
        return None
    return Message(number, message_id, Stage(event), incident, attempt, created_at, thread_id or message_id)


def sent(connection: Any, message: Message | Digest, note: str | None = None) -> None:
    """Mark a message as sent; ``note`` says what was not quite right."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE alert_outbox SET state = 'sent', finished_at = now(), error = %s WHERE id = ANY(%s)",
            (note, message.ids),
        )


def failed(connection: Any, message: Message | Digest, error: str, retry_seconds: float | None) -> None:
    """Report a failed attempt.

    Args:
        connection: to Postgres.
        message: as it was claimed.
        error: why.
        retry_seconds: when to try again; ``None`` to give up.
    """
    with connection, connection.cursor() as cursor:
        # The attempts tell whether the message is still ours: another service may have taken it since, and have sent it.
        cursor.execute(
            """
            UPDATE alert_outbox SET error = %(error)s,
                state = CASE WHEN %(retry)s::float8 IS NULL THEN 'failed' ELSE state END,
                finished_at = CASE WHEN %(retry)s::float8 IS NULL THEN now() END,
                due_at = now() + make_interval(secs => coalesce(%(retry)s, 0))
            WHERE id = ANY(%(ids)s) AND state = 'pending' AND attempts = %(attempt)s
            """,
            {"error": error, "retry": retry_seconds, "ids": message.ids, "attempt": message.attempt},
        )


def retry_failed(connection: Any) -> int:
    """Make every message that was given up due again, unless its keyword is muted now; return how many."""
    with connection, connection.cursor() as cursor:
        silence(cursor, State.FAILED)
        # One attempt stays on the account: what was tried once must not change any more.
        cursor.execute(
            "UPDATE alert_outbox SET state = 'pending', attempts = 1, due_at = now(), finished_at = NULL "
            "WHERE state = 'failed'"
        )
        return int(cursor.rowcount)


def mute(connection: Any, keyword: str, seconds: float | None, reason: str | None) -> None:
    """Mute a keyword, for so many seconds or until it is unmuted."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO alert_mutes (keyword, until, reason)
            VALUES (%(keyword)s, now() + make_interval(secs => %(seconds)s::float8), %(reason)s)
            ON CONFLICT (keyword) DO UPDATE SET until = excluded.until, reason = excluded.reason, created_at = now()
            """,
            {"keyword": keyword, "seconds": seconds, "reason": reason},
        )
        silence(cursor)


def unmute(connection: Any, keyword: str) -> bool:
    """Unmute a keyword; tell if it was muted."""
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM alert_mutes WHERE keyword = %s", (keyword,))
        return bool(cursor.rowcount)


def _told(cursor: Any, incident_ids: list[int]) -> defaultdict[tuple[int, str], list[Told]]:
    told: defaultdict[tuple[int, str], list[Told]] = defaultdict(list)
    cursor.execute(
        "SELECT incident_id, channel, id, stage, state, attempts, incident_at FROM alert_outbox "
        "WHERE incident_id = ANY(%s) ORDER BY id",
        (incident_ids,),
    )
    for incident_id, channel, number, stage, state, attempts, incident_at in cursor.fetchall():
        told[incident_id, channel].append(Told(number, Stage(stage), State(state), attempts, incident_at))
    return told


def _apply(cursor: Any, incident: Incident, channel: str, change: Change) -> None:
    values = {
        "incident_id": incident.incident_id,
        "channel": channel,
        "stage": incident.stage,
        "keyword": incident.keyword,
        "severity": incident.severity,
        "incident": msgspec.json.encode(incident).decode(),
        "incident_at": incident.updated_at,
    }
    # Between reading and writing the message may have been taken; the next round sees that.
    match change:
        case Add(event, state):
            cursor.execute(_ADD, {**values, "event": event, "state": state})
        case Revise(number, event):
            cursor.execute(_REVISE, {**values, "id": number, "event": event})
        case Withdraw(number):
            cursor.execute(f"DELETE FROM alert_outbox WHERE {_UNTRIED}", {"id": number})  # noqa: S608 - our own text
