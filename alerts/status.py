"""How the outbox stands, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from alerts.settings import Settings
from alerts.wording import one_line

_CHANNELS = """
    SELECT c.channel,
        count(*) FILTER (WHERE o.state = 'pending' AND o.attempts = 0),
        count(*) FILTER (WHERE o.state = 'pending' AND o.attempts > 0),
        count(*) FILTER (WHERE o.state = 'sent' AND o.finished_at > now() - interval '1 day'),
        count(*) FILTER (WHERE o.state = 'failed'),
        count(*) FILTER (WHERE o.state = 'muted'),
        max(o.finished_at) FILTER (WHERE o.state = 'sent')
    FROM alert_channels c LEFT JOIN alert_outbox o USING (channel)
    GROUP BY c.channel ORDER BY c.channel
"""
_TROUBLE = """
    SELECT channel, event, keyword, state, attempts, coalesce(error, 'under way'), due_at FROM alert_outbox
    WHERE state = 'failed' OR (state = 'pending' AND attempts > 0)
    ORDER BY state, id DESC LIMIT 20
"""
_MUTES = "SELECT keyword, until, reason FROM alert_mutes WHERE until IS NULL OR until > now() ORDER BY keyword"


def report(connection: Any, settings: Settings) -> tuple[list[str], bool]:
    """Describe channels, trouble and mutes; tell if nothing was given up."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_CHANNELS)
        channels = {name: rest for name, *rest in cursor.fetchall()}
        cursor.execute(_TROUBLE)
        trouble = cursor.fetchall()
        cursor.execute(_MUTES)
        mutes = cursor.fetchall()
    lines = [*_settings(settings), ""]
    lines.append(f"{'channel':<9}{'waiting':>9}{'retrying':>9}{'sent 24h':>9}{'given up':>9}{'muted':>7}  last sent")
    for channel in settings.channels:
        waiting, retrying, sent, failed, muted, last = channels.get(channel.name, [0, 0, 0, 0, 0, None])
        lines.append(
            f"{channel.name:<9}{waiting:>9}{retrying:>9}{sent:>9}{failed:>9}{muted:>7}  "
            f"{settings.phrasing.moment(last) if last else 'never'}, {channel.where}"
        )
    for channel, event, keyword, state, attempts, error, due_at in trouble:
        then = "given up" if state == "failed" else f"next try {settings.phrasing.moment(due_at)}"
        lines.append(f"! {channel}: {event} {one_line(keyword, 64)!r}, {attempts} attempts, {then}: {error}")
    for keyword, until, reason in mutes:
        lines.append(
            f"muted: {one_line(keyword, 64)!r} {f'until {settings.phrasing.moment(until)}' if until else 'for good'}"
            f"{f' ({one_line(reason, 200)})' if reason else ''}"
        )
    given_up = sum(channels[channel.name][3] for channel in settings.channels if channel.name in channels)
    if given_up:
        lines.append("`python -m alerts retry` tries again what was given up")
    return lines, not given_up


def _settings(settings: Settings) -> Iterator[str]:
    yield f"alerted: {', '.join(settings.severities)}, and the watchlist"
    if settings.quiet:
        now = "quiet now" if settings.quiet.cover(datetime.now(UTC)) else "not now"
        yield f"quiet hours: {settings.quiet} ({now}){'; critical passes' if settings.critical_passes else ''}"
