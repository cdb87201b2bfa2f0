"""What the service is told, from the environment: channels, what is alerted, and when not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from alerts import http
from alerts.delivery import Channel
from alerts.mail import Mail, Security
from alerts.quiet import QuietHours
from alerts.slack import Slack
from alerts.webhook import SigningKeys, Webhook
from alerts.wording import Phrasing
from detection.detector import SEVERITIES
from programs.errors import UserError

T = TypeVar("T")

ALERTED: Final = SEVERITIES[1:]
"""Severities that an incident can have, in rising order."""

_YES_NO: Final = {"yes": True, "no": False}


@dataclass(frozen=True)
class Settings:
    """The service's settings, checked.

    Attributes:
        channels: where alerts go.
        severities: those that are alerted; keywords on the watchlist are alerted whatever theirs.
        quiet: when nothing is sent; ``None``: never.
        critical_passes: whether critical incidents are sent in the quiet hours too.
        digest_above: more messages than so many that are due to a channel at once are sent as one; 0: never.
        phrasing: how times and links are told.
        poll_seconds: how often the incidents and the outbox are looked at.
        attempts: after so many a message is given up.
        lease_seconds: how long an attempt may take before it counts as lost.
    """

    channels: tuple[Channel, ...]
    severities: tuple[str, ...]
    quiet: QuietHours | None
    critical_passes: bool
    digest_above: int
    phrasing: Phrasing
    poll_seconds: float
    attempts: int
    lease_seconds: float

    @property
    def passing(self) -> tuple[str, ...]:
        """The severities that are sent in the quiet hours too; none if no hours are quiet."""
        return ("critical",) if self.quiet and self.critical_passes else ()

    def held(self, now: datetime) -> tuple[str, ...]:
        """Return the severities that are not sent at this moment."""
        if self.quiet is None or not self.quiet.cover(now):
            return ()
        return tuple(severity for severity in SEVERITIES if severity not in self.passing)


def load(environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        UserError: one is missing or malformed; the message names it, without its value if that may be secret.
    """
    # An empty variable means "not set", as it does for libpq.
    env = {name: value for name, value in environment.items() if value}
    zone = _read(env, "ALERTS_TIMEZONE", ZoneInfo, "UTC", "expected a name such as Europe/Berlin")
    dashboard = _read(env, "DASHBOARD_URL", http.Address) if "DASHBOARD_URL" in env else None
    phrasing = Phrasing(zone, dashboard.url.rstrip("/") if dashboard else None)
    least = _read(env, "ALERTS_SEVERITY", ALERTED.index, "high", f"expected one of {', '.join(ALERTED)}")
    hours = env.get("ALERTS_QUIET_HOURS")
    passes = _read(env, "ALERTS_QUIET_CRITICAL_PASSES", _YES_NO.__getitem__, "no", "expected yes or no")
    return Settings(
        channels=_channels(env, phrasing),
        severities=ALERTED[least:],
        quiet=_read(env, "ALERTS_QUIET_HOURS", lambda text: QuietHours.parse(text, zone)) if hours else None,
        critical_passes=passes,
        digest_above=int(_number(env, "ALERTS_DIGEST_ABOVE", "10", least=0)),
        phrasing=phrasing,
        poll_seconds=_number(env, "ALERTS_POLL_SECONDS", "5", least=0.1),
        attempts=int(_number(env, "ALERTS_ATTEMPTS", "12", least=1)),
        lease_seconds=_number(env, "ALERTS_LEASE_SECONDS", "180", least=1),
    )


def _channels(env: Mapping[str, str], phrasing: Phrasing) -> tuple[Channel, ...]:
    channels: list[Channel] = []
    if "ALERTS_WEBHOOK_URL" in env:
        channels.append(
            Webhook(
                _secret(env, "ALERTS_WEBHOOK_URL", http.Address),
                _secret(env, "ALERTS_WEBHOOK_SECRET", SigningKeys.parse),
                phrasing,
            )
        )
    if "ALERTS_SLACK_URL" in env:
        channels.append(Slack(_secret(env, "ALERTS_SLACK_URL", http.Address), phrasing))
    if "ALERTS_SMTP_HOST" in env:
        channels.append(_mail(env, phrasing))
    if not channels:
        msg = "no channel is set up: set ALERTS_WEBHOOK_URL, ALERTS_SLACK_URL or ALERTS_SMTP_HOST in .env"
        raise UserError(msg)
    return tuple(channels)


def _mail(env: Mapping[str, str], phrasing: Phrasing) -> Mail:
    modes = f"expected one of {', '.join(Security)}"
    security = _read(env, "ALERTS_SMTP_SECURITY", Security, Security.OFFERED, modes)
    usual = {Security.OFFERED: "25", Security.STARTTLS: "587", Security.TLS: "465"}[security]
    if ("ALERTS_SMTP_USER" in env) != ("ALERTS_SMTP_PASSWORD" in env):
        msg = "ALERTS_SMTP_USER and ALERTS_SMTP_PASSWORD go together: set both, or neither"
        raise UserError(msg)
    return Mail(
        host=env["ALERTS_SMTP_HOST"],
        port=int(_number(env, "ALERTS_SMTP_PORT", usual, least=1)),
        security=security,
        sender=_read(env, "ALERTS_EMAIL_FROM", _mailbox),
        recipients=_read(env, "ALERTS_EMAIL_TO", lambda text: tuple(map(_mailbox, text.split(",")))),
        phrasing=phrasing,
        user=env.get("ALERTS_SMTP_USER"),
        password=env.get("ALERTS_SMTP_PASSWORD"),
    )


def _mailbox(text: str) -> Address:
    """Read ``name@example.org``; nothing but an address, so that it can bring no header of its own."""
    try:
        address = Address(addr_spec=text.strip())
    except (MessageError, ValueError, IndexError):
        address = None
    if address is None or not address.domain or not text.isascii():
        msg = f"{text.strip()!r}: expected an address such as name@example.org"
        raise ValueError(msg)
    return address


def _number(env: Mapping[str, str], name: str, default: str, least: float) -> float:
    def parse(text: str) -> float:
        if not least <= (number := float(text)) < float("inf"):
            raise ValueError
        return number

    return _read(env, name, parse, default, f"expected a number of at least {least:g}")


def _read(
    env: Mapping[str, str], name: str, parse: Callable[[str], T], default: str | None = None, expected: str = ""
) -> T:
    """Parse a setting; ``expected`` tells a person what is, where the parser's own error does not."""
    text = env.get(name, default)
    if text is None:
        msg = f"{name} is not set: set it in .env"
        raise UserError(msg)
    try:
        return parse(text)
    except (ValueError, KeyError, OSError) as error:
        msg = f"{name}={text}: {expected}" if expected else f"{name}: {error}"
        raise UserError(msg) from None


def _secret(env: Mapping[str, str], name: str, parse: Callable[[str], T]) -> T:
    """Parse a setting whose value must not be shown; the parser's own errors do not."""
    return _read(env, name, parse)
