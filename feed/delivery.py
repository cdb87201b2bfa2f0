"""From lines to records of a topic: stamped, paced, sent, and every one of them accounted for."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from feed.interruption import Interruption
from feed.pacing import Pacer
from feed.rejects import Rejects
from feed.stamping import Reason, Stamped, Stamper, Time, UnreadableError

FLUSH_AFTER_INTERRUPT_SECONDS = 15.0
"""How long an interrupted run waits for what it has sent; a second interrupt ends it at once."""

_FUTURE_TOLERANCE_SECONDS = 60.0
_MAX_HELD = 10_000


@dataclass(frozen=True, kw_only=True)
class Config:
    """How posts are sent.

    Attributes:
        time: where event times come from.
        shift: for ``Time.SHIFT``: seconds that are added.
        rate: posts per second.
        speedup: times faster than the posts happened; at most one of both.
        rejects: file for unreadable lines; appears with the first one, with a number in its name if it is there already.
        send_unreadable: send them instead, as they are, without a key, with the timestamp of the post before.
    """

    time: Time = Time.KEEP
    shift: float = 0.0
    rate: float | None = None
    speedup: float | None = None
    rejects: Path = Path("build/rejects.ndjson")
    send_unreadable: bool = False

    def __post_init__(self) -> None:
        for name in ("rate", "speedup"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                msg = f"{name} must be positive, not {value}"
                raise ValueError(msg)
        if self.rate is not None and self.speedup is not None:
            msg = "rate and speedup exclude each other"
            raise ValueError(msg)


@dataclass(slots=True)
class Report:
    """What became of the lines.

    Attributes:
        sent: posts handed to the topic.
        unreadable_sent: unreadable lines handed to it.
        delivered: records, of either kind, that the broker has acknowledged; final once the run has ended.
        rejected: unreadable lines that were kept back, by reason.
        rejects: the file that they are in; ``None`` before the run ends.
        bytes: of all values sent.
        interrupted: the signal that ended the run early.
        waiting_since: since when the broker has not taken a record (``time.monotonic``); ``None`` while it does.
    """

    sent: int = 0
    unreadable_sent: int = 0
    delivered: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)
    rejects: Path | None = None
    bytes: int = 0
    interrupted: signal.Signals | None = None
    waiting_since: float | None = None

    @property
    def records(self) -> int:
        """Records handed to the topic."""
        return self.sent + self.unreadable_sent


class Sink(Protocol):
    """What records are sent to; ``feed.topic.Topic`` is one."""

    delivered: int
    retention_ms: int | None
    broker_times: bool

    def make_room(self) -> None:
        """Wait until a record can be taken; may be interrupted."""

    def send(self, value: bytes, key: bytes | None, timestamp_ms: int) -> None:
        """Take a record; is not interrupted."""

    def flush(self, seconds: float = ...) -> None:
        """Return when all records are safe."""


def deliver(
    lines: Iterable[bytes],
    sink: Sink,
    config: Config,
    report: Report,
    tell: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda _: None,
) -> None:
    """Send all lines and wait until they are acknowledged. SIGINT and SIGTERM end it early, with all that was sent safe.

    Args:
        lines: posts as JSON, without line ends.
        sink: where to.
        config: how.
        report: filled in; right also when this raises.
        tell: called for each line and while waiting; should be quick.
        warn: called with a line of text for what a user should know, at most once for each kind.

    Raises:
        BrokerError: from the sink.
        SourceError: from the lines, or the file of rejects cannot be written; what was read before is safe.
        KeyboardInterrupt: a second interrupt, while the first one's flush was under way.
    """
    seconds_to_flush: dict[str, float] = {}
    rejects = Rejects(config.rejects)
    report.rejected = rejects.reasons
    with Interruption() as interruption:
        try:
            with rejects:
                _Run(sink, config, report, rejects, interruption, tell, warn).all(lines)
        except KeyboardInterrupt:
            report.interrupted = interruption.signal or signal.SIGINT
            interruption.signal = None
            seconds_to_flush["seconds"] = FLUSH_AFTER_INTERRUPT_SECONDS
        finally:
            try:
                sink.flush(**seconds_to_flush)
            finally:
                report.delivered, report.rejects = sink.delivered, rejects.path


@dataclass(slots=True)
class _Run:
    sink: Sink
    config: Config
    report: Report
    rejects: Rejects
    interruption: Interruption
    tell: Callable[[], None]
    warn: Callable[[str], None]
    pacer: Pacer = field(init=False)
    stamper: Stamper = field(init=False)
    last: Stamped | None = None
    held: list[bytes] = field(default_factory=list)
    future: bool = False

    def all(self, lines: Iterable[bytes]) -> None:
        self.pacer = Pacer(self.config.rate, self.config.speedup, idle=self.tell)
        self.stamper = Stamper(self.config.time, self.config.shift)
        for line in lines:
            try:
                post = self.stamper.stamp(line)
            except UnreadableError as error:
                # What Kafka does not take cannot be sent either.
                if self.config.send_unreadable and error.reason is not Reason.TOO_LARGE:
                    self.unreadable(line)
                else:
                    self.rejects.write(line, error.reason)
            else:
                self.readable(post)
            self.tell()
        self.release(time.time())

    def readable(self, post: Stamped) -> None:
        if self.last is None:
            self.check(post.time_stamp)
            self.last = post
        if self.held:
            self.release(post.time_stamp)
        self.last = post
        self.pacer.wait(post.happened)
        if self.config.time is Time.NOW:
            self.sink.make_room()  # waits, too
            post = self.stamper.renewed(post)
        self.send(post.value, post.post_id.encode(), post.time_stamp)
        self.report.sent += 1
        self.interruption.release()

    def unreadable(self, line: bytes) -> None:
        """Send a line with the timestamp of the post before it, or of the first post if there is none before.

        The time of sending could be far ahead of the posts' own, and would carry the stream's watermark past them all.
        """
        if self.last is None and len(self.held) < _MAX_HELD:
            self.held.append(line)
            return
        self.pacer.wait(self.last.happened if self.last else 0.0)
        self.send(line, None, self.last.time_stamp if self.last else time.time())
        self.report.unreadable_sent += 1
        self.interruption.release()

    def release(self, time_stamp: float) -> None:
        """Send the unreadable lines that came before the first post."""
        while self.held:
            self.send(self.held[0], None, time_stamp)
            del self.held[0]
            self.report.unreadable_sent += 1
            self.interruption.release()

    def send(self, value: bytes, key: bytes | None, time_stamp: float) -> None:
        """Send a record; leaves interrupts held until it is counted."""
        if not self.future and time_stamp > time.time() + _FUTURE_TOLERANCE_SECONDS:
            self.future = True
            self.warn(
                f"posts lie in the future, the first one at {_iso(time_stamp)}: event time ends at the clock's, so "
                "that their windows close only when it is there; --time now or --time shift moves them"
            )
        self.sink.make_room()
        self.report.waiting_since = None
        self.interruption.hold()
        try:
            self.sink.send(value, key, round(time_stamp * 1000))
        except BaseException:
            self.interruption.release()
            raise
        self.report.bytes += len(value)

    def check(self, time_stamp: float) -> None:
        """Warn of a topic that would not keep these posts, or not their times."""
        retention = self.sink.retention_ms
        if retention is not None and 0 <= retention < (time.time() - time_stamp) * 1000:
            self.warn(
                f"the topic deletes records that are older than {retention / 86_400_000:.3g} days (retention.ms="
                f"{retention}), and the first post is of {_iso(time_stamp)}: Kafka may delete these posts before they "
                "are read; set retention.ms=-1 for the topic, or use --time now or --time shift"
            )
        if self.sink.broker_times:
            self.warn(
                "the topic puts the broker's time over that of its records (message.timestamp.type=LogAppendTime): "
                "the stream will not see when the posts happened; set it to CreateTime"
            )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
