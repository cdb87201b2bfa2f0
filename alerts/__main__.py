"""``python -m alerts``: the service, and commands to try it, look at it and quieten it."""

from __future__ import annotations

import argparse
import base64
import logging
import os
import re
import secrets
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2

from alerts import outbox, service, status
from alerts import settings as configuration
from alerts.delivery import DeliveryError
from alerts.incidents import Driver, Incident, SamplePost, Stage
from alerts.outbox import Message
from programs.errors import UserError, start
from programs.postgres import connect
from transforms.text import typed_keywords

_DESCRIPTION = """\
Tells of new incidents, and of what becomes of them, by signed webhook, Slack and e-mail.

Each incident of a chosen severity or on the watchlist is told once per channel, with updates when it is confirmed,
retracted or over. What is to be sent is kept in Postgres, so a crash loses nothing; a failed delivery is tried again with
growing pauses, and given up visibly (`status`). Several services may run side by side.

Without a command the service runs until Ctrl-C. Settings are environment variables or lines of .env, see .env.example
and docs/alerts.md; a channel is in use when its address is set:
  ALERTS_WEBHOOK_URL, ALERTS_WEBHOOK_SECRET                                   a program, with a signature it can check
  ALERTS_SLACK_URL                                                            Slack, or what takes the same messages
  ALERTS_SMTP_HOST, ALERTS_EMAIL_FROM, ALERTS_EMAIL_TO, ALERTS_SMTP_…         e-mail
  ALERTS_SEVERITY, ALERTS_TIMEZONE, ALERTS_QUIET_HOURS, ALERTS_DIGEST_ABOVE   what is told, when, and how much in one
  DASHBOARD_URL                                                               the links in it"""

_SECONDS = {"m": 60, "h": 3600, "d": 86_400}


def run(argv: Sequence[str]) -> int:
    """Run one command."""
    options = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        return command(options)
    except psycopg2.errors.UndefinedTable:
        msg = (
            "Postgres has no tables of the alerts yet: run `make up`, or `python -m local provision` for other servers"
        )
        raise UserError(msg) from None
    except psycopg2.OperationalError as error:
        msg = f"Postgres: {str(error).strip().partition(chr(10))[0]}: see `make status`"
        raise UserError(msg) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m alerts", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=_serve, once=False)
    commands = parser.add_subparsers(metavar="COMMAND")
    add = commands.add_parser("run", help="the service (default)")
    add.add_argument("--once", action="store_true", help="look at the incidents and send what is due, then end")
    add = commands.add_parser("test", help="send a test message to every channel, and say how that went")
    add.set_defaults(run=_test)
    add = commands.add_parser("status", help="what waits, was sent or was given up; exit code 1 if something was")
    add.set_defaults(run=_status)
    add = commands.add_parser("mute", help="send nothing about a keyword; an incident that it silences stays silent")
    add.add_argument("keyword", help="hashtag, word or emoji, in any case")
    add.add_argument("--for", dest="seconds", type=_duration, metavar="TIME", help="30m, 8h or 7d; default: for good")
    add.add_argument("--reason", help="shown by `status`")
    add.set_defaults(run=_mute)
    add = commands.add_parser("unmute", help="send again")
    add.add_argument("keyword", help="as for `mute`")
    add.set_defaults(run=_unmute)
    add = commands.add_parser("retry", help="try again what was given up")
    add.set_defaults(run=_retry)
    add = commands.add_parser("secret", help="make a secret for ALERTS_WEBHOOK_SECRET")
    add.set_defaults(run=_secret)
    return parser


def _serve(options: argparse.Namespace) -> int:
    settings = configuration.load(os.environ)
    connection = _connect()
    outbox.open_channels(connection, [channel.name for channel in settings.channels])
    connection.close()
    if options.once:
        service.run_once(settings, _connect)
        return 0
    log = logging.getLogger("alerts")
    for channel in settings.channels:
        log.info("%s: %s", channel.name, channel.where)
    log.info("alerting %s and the watchlist; Ctrl-C ends", ", ".join(settings.severities))
    service.run(settings, _connect)
    return 0


def _test(_: argparse.Namespace) -> int:
    settings = configuration.load(os.environ)
    message = _test_message()
    failed = False
    for channel in settings.channels:
        try:
            note = channel.deliver(message)
        except DeliveryError as error:
            failed = True
            print(f"{channel.name}: FAILED, {channel.where}: {error}")
        else:
            print(f"{channel.name}: sent to {channel.where}{f', but {note}' if note else ''}")
    return 1 if failed else 0


def _status(_: argparse.Namespace) -> int:
    lines, well = status.report(_connect(), configuration.load(os.environ))
    print("\n".join(lines))
    return 0 if well else 1


def _mute(options: argparse.Namespace) -> int:
    keyword = _keyword(options.keyword)
    outbox.mute(_connect(), keyword, options.seconds, options.reason)
    print(f"{keyword}: muted")
    return 0


def _unmute(options: argparse.Namespace) -> int:
    keyword = _keyword(options.keyword)
    if not outbox.unmute(_connect(), keyword):
        msg = f"{keyword} is not muted: `python -m alerts status` shows what is"
        raise UserError(msg)
    print(f"{keyword}: no longer muted")
    return 0


def _retry(_: argparse.Namespace) -> int:
    print(f"{outbox.retry_failed(_connect()):,} messages are due again")
    return 0


def _secret(_: argparse.Namespace) -> int:
    print(f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}")
    return 0


def _connect() -> Any:
    names = ("PGALERTS_USER", "PGALERTS_PASSWORD")
    user, password = (os.environ.get(name) for name in names)
    if not user or not password:
        msg = f"{' or '.join(names)} is not set: run `make up`, which completes .env, or set both"
        raise UserError(msg)
    return connect("alerts", user, password)


def _keyword(text: str) -> str:
    """Return the keyword that the stream makes of what a person typed."""
    found = typed_keywords(text.strip())
    if len(found) != 1:
        msg = f"{text!r} is not one keyword: give one hashtag, word or emoji"
        raise UserError(msg)
    return found[0]


def _duration(text: str) -> float:
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text)
    if match is None:
        msg = f"{text!r}: expected 30m, 8h or 7d"
        raise argparse.ArgumentTypeError(msg)
    return float(int(match[1]) * _SECONDS[match[2]])


def _test_message() -> Message:
    """An invented incident, so that a person sees what an alert will look like."""
    now = datetime.now(UTC).replace(microsecond=0)
    incident = Incident(
        incident_id=0,
        keyword="test",
        kind="surge",
        severity="high",
        state="open",
        status="confirmed",
        opened_at=now - timedelta(hours=1),
        last_at=now,
        closed_at=None,
        peak_at=now,
        peak_score=2.0,
        peak_mentions=123,
        peak_expected=4.5,
        shape="pulse",
        updated_at=now,
        watched=False,
        muted=False,
        drivers=(Driver("example", 1),),
        posts=(SamplePost(1, "This is a test of the alerts; there is no such incident."),),
    )
    message_id = str(uuid.uuid4())
    return Message(0, message_id, Stage.OPENED, incident, 1, now, message_id, test=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alerts").setLevel(logging.INFO)
    start(run)
