"""Sends posts to Kafka: ``python -m feed.produce day.ndjson.zst --time now --rate 2000``.

A record's key is the post's ``itemInfos.id``, its timestamp the post's ``time_stamp`` in milliseconds, its value the
post's own bytes, with ``time_stamp`` injected where ``--time`` asks for another.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from dotenv import load_dotenv

from feed import rejects
from feed.delivery import Config, Report, deliver
from feed.files import Lines, SourceError
from feed.progress import Progress
from feed.stamping import Reason, Time, latest
from feed.topic import COMPRESSIONS, PARTITIONS, BrokerError, Topic, TopicConfig
from local.settings import ROOT

__all__ = ["Config", "Report", "TopicConfig", "main", "parse_arguments", "produce"]

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_STALLED_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line.

    Attributes:
        sources: what to send.
        topic: where to.
        config: how; its ``shift`` holds ``--shift_by``.
        shift_to: for ``--time shift`` without ``--shift_by``: where the last post falls, ``None`` for now.
        shift_given: whether ``--shift_by`` was given.
    """

    sources: list[str]
    topic: TopicConfig
    config: Config
    shift_to: datetime | None
    shift_given: bool


def produce(
    lines: Iterable[bytes],
    topic: TopicConfig,
    config: Config,
    report: Report | None = None,
    tell: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Report:
    """Send lines to Kafka and wait until all are acknowledged.

    Args:
        lines: posts as JSON, without line ends.
        topic: where to.
        config: how.
        report: filled in and returned; right also when this raises.
        tell: called for each line and while waiting; should be quick.
        warn: called with a line of text for what a user should know.

    Raises:
        BrokerError: Kafka cannot be reached or refuses.
        SourceError: the lines' source or the file of rejects fails; what was read before is safe.
    """
    report = report or Report()

    def idle() -> None:
        report.waiting_since = report.waiting_since or time.monotonic()
        tell()

    with Topic(topic, idle) as sink:
        deliver(lines, sink, config, report, tell, warn)
    return report


def describe(report: Report, seconds: float) -> str:
    """Put a report into one line."""
    parts = [f"{report.sent:,} posts"]
    if report.unreadable_sent:
        parts.append(f"{report.unreadable_sent:,} unreadable lines")
    if report.rejected:
        parts.append(f"{report.rejected.total():,} rejected")
    seconds = max(seconds, 1e-3)
    return f"{', '.join(parts)}, {report.records / seconds:,.0f}/s, {report.bytes / 1e6 / seconds:,.1f} MB/s"


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Names the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


def parse_arguments(arguments: Sequence[str] | None = None) -> Options:
    """Parse the command line over the environment; ends the program with one line for what makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m feed.produce",
        description="Send posts (one JSON object per line) to Kafka. Key: itemInfos.id. Record timestamp: time_stamp. "
        "The topic is created if it is missing, without retention. Unreadable lines are kept in a file and counted. "
        "Ctrl-C ends with everything that was sent acknowledged. Simulated posts come from `python -m feed.simulate`.",
        formatter_class=_Help,
    )
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="file, folder, s3://bucket/key, s3://bucket/prefix or - (stdin); plain, gzip or zstd",
    )
    kafka = parser.add_argument_group("Kafka")
    kafka.add_argument(
        "--bootstrap_servers",
        metavar="HOST:PORT,…",
        default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or "127.0.0.1:9092",
        help="brokers (environment: KAFKA_BOOTSTRAP_SERVERS)",
    )
    kafka.add_argument(
        "--topic", default=os.environ.get("TOPIC_POSTS") or "posts", help="topic (environment: TOPIC_POSTS)"
    )
    kafka.add_argument("--partitions", type=int, default=PARTITIONS, metavar="N", help="of a topic that is created")
    kafka.add_argument(
        "--compression", choices=COMPRESSIONS, default="auto", help="of batches; auto: lz4, zstd or gzip"
    )
    times = parser.add_argument_group("event time")
    times.add_argument(
        "--time",
        choices=[each.value for each in Time],
        metavar="{keep,now,create_time,shift}",
        default=Time.KEEP.value,
        help="keep: the post's own time_stamp; now: the time of sending; create_time: itemInfos.createTime; shift: its "
        "own (or createTime), all moved by the same time",
    )
    shift = times.add_mutually_exclusive_group()
    shift.add_argument(
        "--shift_to",
        type=_moment,
        metavar="TIME",
        default="now",
        help="for shift: where the last post falls, ISO 8601 (UTC unless it says otherwise) or now; the sources are read "
        "twice",
    )
    shift.add_argument(
        "--shift_by",
        type=_duration,
        metavar="DURATION",
        help="for shift: how far, such as 7d or 90 (seconds), back as --shift_by=-36h; the sources are read once",
    )
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--rate", type=float, metavar="N", help="posts per second; none: as fast as Kafka takes them")
    pace.add_argument("--speedup", type=float, metavar="N", help="as they happened, N times as fast; 1: real time")
    broken = parser.add_argument_group("unreadable lines (not JSON, no id, no time, …)")
    broken.add_argument(
        "--rejects",
        type=Path,
        metavar="FILE",
        default=Config.rejects,
        help="where they are kept, byte for byte; a file that is there stays, and the new one gets a number",
    )
    broken.add_argument(
        "--send_unreadable",
        action="store_true",
        help="send them as they are, without a key, with the timestamp of the post before: to see dead letters at work",
    )
    options = parser.parse_args(arguments)
    time_from = Time(options.time)
    if time_from is not Time.SHIFT and (options.shift_by is not None or options.shift_to is not None):
        parser.error("--shift_to and --shift_by need --time shift")
    try:
        topic = TopicConfig(options.bootstrap_servers, options.topic, options.partitions, options.compression)
        config = Config(
            time=time_from,
            shift=options.shift_by or 0.0,
            rate=options.rate,
            speedup=options.speedup,
            rejects=options.rejects,
            send_unreadable=options.send_unreadable,
        )
    except ValueError as error:
        parser.error(f"--{error}")
    return Options(
        sources=options.sources,
        topic=topic,
        config=config,
        shift_to=options.shift_to,
        shift_given=options.shift_by is not None,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code: 0, 2 for an error, 130 or 143 for an interrupt."""
    load_dotenv(ROOT / ".env")
    # The client's own warnings of each attempt to connect would hide the one line that helps.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    options = parse_arguments(arguments)
    try:
        return _run(options)
    except (BrokerError, SourceError) as error:
        print(f"feed.produce: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # outside of sending, or for the second time
        print("feed.produce: interrupted", file=sys.stderr)
        return 130


def _run(options: Options) -> int:
    lines = Lines(options.sources)
    config = options.config
    if config.time is Time.SHIFT and not options.shift_given:
        config = replace(config, shift=_shift(lines, options.shift_to))
    report = Report()
    progress = Progress(lambda seconds: f"{describe(report, seconds)}, {lines.position()}{_waiting(report)}")
    try:
        produce(lines, options.topic, config, report, progress.tell, lambda text: progress.say(f"warning: {text}"))
    except BrokerError as error:
        if not report.interrupted:
            raise
        progress.say(str(error))
    finally:
        if report.records or report.rejected:
            progress.say(_summary(report, options, progress.seconds))
    return 128 + report.interrupted if report.interrupted else 0


def _shift(lines: Lines, shift_to: datetime | None) -> float:
    """Return the seconds between the last post and where it should fall."""
    if not lines.repeatable:
        msg = "--time shift reads its sources twice, and standard input cannot be: give --shift_by DURATION"
        raise SourceError(msg)
    progress = Progress(lambda _: f"looking for the last post, {lines.position()}")

    def watched() -> Iterator[bytes]:
        for line in lines:
            progress.step()
            yield line

    last = latest(watched())
    if last is None:
        return 0.0  # no line can be sent as a post, which the report will say
    shift = (shift_to.timestamp() if shift_to else time.time()) - last
    progress.say(
        f"the last post is of {datetime.fromtimestamp(last, UTC):%Y-%m-%d %H:%M:%S} UTC: --shift_by {shift:.0f}s"
    )
    return shift


def _waiting(report: Report) -> str:
    since = report.waiting_since
    waited = 0.0 if since is None else time.monotonic() - since
    return f", waiting for Kafka since {waited:.0f} s" if waited > _STALLED_SECONDS else ""


def _summary(report: Report, options: Options, seconds: float) -> str:
    lines = [f"{describe(report, seconds)} in {seconds:.1f} s to {options.topic.name}"]
    if report.interrupted:
        lines[0] = f"interrupted: {lines[0]}"
    if report.delivered < report.records:
        lines.append(
            f"only {report.delivered:,} of {report.records:,} are acknowledged by Kafka; the others may have arrived or not"
        )
    elif report.records:
        lines[0] += ", all acknowledged"
    if report.rejected:
        lines.append(f"unreadable: {rejects.describe(report.rejected)}; kept in {report.rejects}")
    if report.rejected[Reason.BAD_TIME_STAMP] > report.sent and options.config.time is Time.KEEP:
        lines.append("posts without a time_stamp can be sent with --time create_time, now or shift")
    return "\n".join(lines)


def _moment(text: str) -> datetime | None:
    if text == "now":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is no time: expected now or ISO 8601, such as 2025-01-31T12:00"
        raise argparse.ArgumentTypeError(msg) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _duration(text: str) -> float:
    match = re.fullmatch(r"([+-]?\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None:
        msg = f"{text!r} is no duration: expected something like 7d, -36h or 90"
        raise argparse.ArgumentTypeError(msg)
    return float(match[1]) * _SECONDS[match[2]]


if __name__ == "__main__":
    sys.exit(main())
