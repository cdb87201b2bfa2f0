"""Sends posts to Kafka: ``python -m feed.produce day.ndjson.zst --time now --rate 2000``.

A record's key is the post's ``itemInfos.id``, its timestamp the post's ``time_stamp`` in milliseconds, its value the
post's own bytes, with ``time_stamp`` injected where ``--time`` asks for another.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

from dotenv import load_dotenv

from feed.files import SourceError, read_lines
from feed.pacing import Pacer
from feed.stamping import Stamper, Time, UnreadableError
from feed.topic import COMPRESSIONS, BrokerError, Topic

_ROOT = Path(__file__).resolve().parent.parent
_PROGRESS_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Config:
    """How posts are sent.

    Attributes:
        servers: Kafka's addresses, ``host:port,…``.
        topic: where to.
        time: where event times come from.
        shift_to: for ``Time.SHIFT``; now by default.
        rate: posts per second.
        speedup: times faster than the posts happened; at most one of both.
        rejects: file for unreadable lines; appears with the first one.
        send_unreadable: send them instead, without a key, with the timestamp of the post before.
        compression: one of ``feed.topic.COMPRESSIONS``.
    """

    servers: str = "127.0.0.1:9092"
    topic: str = "posts"
    time: Time = Time.KEEP
    shift_to: datetime | None = None
    rate: float | None = None
    speedup: float | None = None
    rejects: Path = Path("build/rejects.ndjson")
    send_unreadable: bool = False
    compression: str = "auto"

    def __post_init__(self) -> None:
        for name in ("rate", "speedup"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                msg = f"{name} must be positive, not {value}"
                raise ValueError(msg)
        if self.rate is not None and self.speedup is not None:
            msg = "rate and speedup exclude each other"
            raise ValueError(msg)
        if self.shift_to is not None and self.time is not Time.SHIFT:
            msg = "shift_to needs --time shift"
            raise ValueError(msg)


@dataclass(slots=True)
class Report:
    """What became of the lines.

    Attributes:
        sent: posts acknowledged by Kafka.
        unreadable_sent: unreadable lines acknowledged by Kafka.
        rejected: unreadable lines written to the rejects.
        bytes: of all values sent.
        interrupted: whether Ctrl-C ended it; what was sent until then is acknowledged.
    """

    sent: int = 0
    unreadable_sent: int = 0
    rejected: int = 0
    bytes: int = 0
    interrupted: bool = False


class Sink(Protocol):
    """What posts are sent to; ``feed.topic.Topic`` is one."""

    def send(self, value: bytes, key: bytes | None, timestamp_ms: int) -> None:
        """Take a record."""

    def flush(self) -> None:
        """Return when all records are safe."""


def produce(lines: Iterable[bytes], config: Config, progress: Callable[[Report], None] | None = None) -> Report:
    """Send lines to Kafka and wait until all are acknowledged.

    Args:
        lines: posts as JSON, without line ends.
        config: how.
        progress: called after each line and while waiting; should be quick.

    Raises:
        BrokerError: Kafka cannot be reached or refuses.
        SourceError: the lines' source or the file of rejects fails; what was read before has been sent.
    """
    with Topic(config.servers, config.topic, config.compression) as topic:
        return send_all(lines, topic, config, progress)


def send_all(
    lines: Iterable[bytes], sink: Sink, config: Config, progress: Callable[[Report], None] | None = None
) -> Report:
    """Do the work of ``produce`` with any sink."""
    report = Report()
    tell = progress or (lambda _: None)
    stamper = Stamper(config.time, config.shift_to)
    pacer = Pacer(config.rate, config.speedup, idle=lambda: tell(report))
    last = time.time()
    rejects = _Rejects(config.rejects)
    try:
        for line in lines:
            try:
                post_id, seconds, value = stamper.stamp(line)
            except UnreadableError:
                if config.send_unreadable:
                    pacer.wait(last)
                    sink.send(line, None, int(last * 1000))
                    report.unreadable_sent += 1
                    report.bytes += len(line)
                else:
                    rejects.write(line)
                    report.rejected += 1
            else:
                pacer.wait(seconds)
                last = seconds
                sink.send(value, post_id.encode(), int(seconds * 1000))
                report.sent += 1
                report.bytes += len(value)
            tell(report)
    except KeyboardInterrupt:
        report.interrupted = True
    except SourceError:
        sink.flush()
        raise
    finally:
        rejects.close()
    sink.flush()
    return report


class _Rejects:
    """The file of unreadable lines, byte for byte; created with the first of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def write(self, line: bytes) -> None:
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("wb")
            self._file.write(line + b"\n")
        except OSError as error:
            msg = f"cannot write the rejects to {self._path}: {error.strerror} (--rejects)"
            raise SourceError(msg) from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _Progress:
    """One line on stderr: rewritten on a terminal, else a new one every so often."""

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __call__(self, report: Report) -> None:
        now = time.monotonic()
        if now - self._told < (_PROGRESS_SECONDS if not self._terminal else 0.5):
            return
        self._told = now
        end = "\r" if self._terminal else "\n"
        print(f"{describe(report, now - self._began)}    ", end=end, file=sys.stderr, flush=True)

    def finish(self, report: Report, config: Config) -> None:
        where = f"; unreadable lines are in {config.rejects}" if report.rejected else ""
        begin = "interrupted: " if report.interrupted else ""
        print(f"{begin}{describe(report, time.monotonic() - self._began)} → {config.topic}{where}", file=sys.stderr)


def describe(report: Report, seconds: float) -> str:
    """Put a report into one line."""
    unreadable = f", {report.unreadable_sent:,} unreadable sent" if report.unreadable_sent else ""
    rejected = f", {report.rejected:,} rejected" if report.rejected else ""
    lines = report.sent + report.unreadable_sent
    per_second = lines / max(seconds, 1e-3)
    return (
        f"{report.sent:,} posts sent{unreadable}{rejected}, {report.bytes / 1e6:,.1f} MB, "
        f"{per_second:,.0f} posts/s in {seconds:.1f} s"
    )


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[list[str], Config]:
    """Parse the command line over the environment; ends the program with one line for what makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m feed.produce",
        description="Send posts (one JSON object per line) to Kafka. Key: itemInfos.id. Record timestamp: time_stamp. "
        "The topic is created if it is missing. Simulated posts come from `python -m feed.simulate`.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="file, folder, s3://bucket/key, s3://bucket/prefix/ or - (stdin); plain, gzip or zstd",
    )
    parser.add_argument(
        "--bootstrap_servers",
        default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or Config.servers,
        help="Kafka's addresses (environment: KAFKA_BOOTSTRAP_SERVERS)",
    )
    parser.add_argument(
        "--topic", default=os.environ.get("TOPIC_POSTS") or "posts", help="topic (environment: TOPIC_POSTS)"
    )
    parser.add_argument(
        "--time",
        type=Time,
        choices=list(Time),
        metavar="{keep,now,create_time,shift}",
        default=Time.KEEP,
        help="event time: keep time_stamp; the time of sending; itemInfos.createTime; or shift all posts by the same "
        "time, so that the first falls on --shift_to",
    )
    parser.add_argument(
        "--shift_to",
        type=_moment,
        metavar="TIME",
        help="ISO 8601 (UTC unless it says otherwise) or now; with --time shift",
    )
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--rate", type=float, metavar="N", help="posts per second; none: as fast as Kafka takes them")
    pace.add_argument("--speedup", type=float, metavar="N", help="as they happened, N times as fast; 1: real time")
    parser.add_argument(
        "--rejects", type=Path, metavar="FILE", default=Path("build/rejects.ndjson"), help="where unreadable lines go"
    )
    parser.add_argument(
        "--send_unreadable", action="store_true", help="send unreadable lines too, to see dead letters at work"
    )
    parser.add_argument(
        "--compression", choices=COMPRESSIONS, default="auto", help="of batches; auto: lz4, zstd or gzip"
    )
    options = parser.parse_args(arguments)
    try:
        config = Config(
            servers=options.bootstrap_servers,
            topic=options.topic,
            time=options.time,
            shift_to=options.shift_to,
            rate=options.rate,
            speedup=options.speedup,
            rejects=options.rejects,
            send_unreadable=options.send_unreadable,
            compression=options.compression,
        )
    except ValueError as error:
        parser.error(str(error))
    return options.sources, config


def _moment(text: str) -> datetime | None:
    if text == "now":
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    load_dotenv(_ROOT / ".env")
    # The client's own warnings of each attempt to connect would hide the one line that helps.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    sources, config = parse_arguments(arguments)
    progress = _Progress()
    try:
        report = produce(read_lines(sources), config, progress)
    except (BrokerError, SourceError) as error:
        print(f"feed.produce: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    progress.finish(report, config)
    return 130 if report.interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
