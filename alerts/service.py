"""The service: one loop puts messages into the outbox, one per channel takes them out and delivers them.

Each loop has its own thread and connection, so that a channel that hangs holds up no other. Any number of services may
run side by side.
"""

from __future__ import annotations

import logging
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import Any, Final

import psycopg2

from alerts import outbox
from alerts.backoff import pause
from alerts.delivery import Channel, DeliveryError
from alerts.outbox import Digest, Message
from alerts.settings import Settings
from programs.errors import UserError

log = logging.getLogger(__name__)

Connect = Callable[[], Any]

_RECONNECT_SECONDS: Final = 5.0


def run(settings: Settings, connect: Connect) -> None:
    """Serve until SIGINT or SIGTERM; an attempt under way is finished first."""
    stop = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        log.info("%s: finishing what is under way", signal.Signals(number).name)
        stop.set()
        signal.signal(number, signal.SIG_DFL)  # the second one ends at once: what was under way is tried again

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    works = [partial(enqueue, settings)]
    works += [partial(deliver_due, settings, channel, stop) for channel in settings.channels]
    with ThreadPoolExecutor(len(works)) as pool:
        loops = [pool.submit(_repeat, work, connect, settings.poll_seconds, stop) for work in works]
        wait(loops, return_when=FIRST_EXCEPTION)
        stop.set()  # half a service is worse than none: whoever supervises it shall see
    for loop in loops:
        loop.result()


def run_once(settings: Settings, connect: Connect) -> None:
    """Do once what the service does all the time."""
    connection = connect()
    try:
        enqueue(settings, connection)
        for channel in settings.channels:
            deliver_due(settings, channel, threading.Event(), connection)
    finally:
        connection.close()


def enqueue(settings: Settings, connection: Any) -> None:
    """Put what is new into the outbox."""
    changed = outbox.enqueue(connection, [channel.name for channel in settings.channels], settings.severities)
    if changed:
        log.info("%d messages put in the outbox, revised or withdrawn", changed)


def deliver_due(settings: Settings, channel: Channel, stop: threading.Event, connection: Any) -> None:
    """Deliver what is due on a channel, until nothing is or ``stop`` is set; a flood as one message."""
    while not stop.is_set():
        held = settings.held(datetime.now(UTC))
        up_to = outbox.LAST_ROW
        if settings.digest_above:  # each time: a flood may come while this loop sends, or be what follows of a digest
            up_to = outbox.bundle(connection, channel.name, held, settings.digest_above, settings.passing)
        message = outbox.claim(connection, channel.name, held, settings.lease_seconds, up_to)
        if message is None:
            return
        _attempt(settings, channel, connection, message)


def _attempt(settings: Settings, channel: Channel, connection: Any, message: Message | Digest) -> None:
    what = f"{_name(message)} to {channel.name}"
    try:
        note = channel.deliver(message)
    except DeliveryError as error:
        reason, permanent, asked = str(error), error.permanent, error.retry_after
    except Exception as error:  # noqa: BLE001 - one message that cannot be rendered must not stop all others
        # Without the error's own words, which may tell an address and its token.
        log.error("%s: failed\n%s%s", what, "".join(traceback.format_tb(error.__traceback__)), type(error).__name__)
        reason, permanent, asked = f"internal error ({type(error).__name__}), see the service's log", False, None
    else:
        outbox.sent(connection, message, note)
        log.info("%s: sent%s", what, f", but {note}" if note else "")
        return
    if permanent or message.attempt >= settings.attempts:
        outbox.failed(connection, message, reason, None)
        log.error("%s: given up after attempt %d: %s", what, message.attempt, reason)
        return
    seconds = pause(message.attempt, asked)
    outbox.failed(connection, message, reason, seconds)
    log.warning("%s: attempt %d: %s; again in %.0f s", what, message.attempt, reason, seconds)


def _name(message: Message | Digest) -> str:
    if isinstance(message, Digest):
        return f"digest of {len(message.messages)} messages"
    return f"{message.event} {message.incident.keyword!r} (incident {message.incident.incident_id})"


def _repeat(work: Callable[[Any], None], connect: Connect, seconds: float, stop: threading.Event) -> None:
    """Do ``work`` every so many seconds, with a new connection whenever the last one broke."""
    connection: Any = None
    while not stop.is_set():
        try:
            connection = connection or connect()
            work(connection)
        except (psycopg2.Error, UserError) as error:
            log.warning("%s; again in %.0f s", str(error).strip().partition("\n")[0], _RECONNECT_SECONDS)
            _close(connection)
            connection = None
            stop.wait(_RECONNECT_SECONDS)
        else:
            stop.wait(seconds)
    _close(connection)


def _close(connection: Any) -> None:
    with suppress(psycopg2.Error, AttributeError):
        connection.close()
