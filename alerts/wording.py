"""What an alert says, in words that every channel shares: what, how unusual, since when, why, and where to look.

Texts from posts are other people's: ``one_line`` makes them harmless as plain text, and each channel escapes them for
its own markup.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from alerts.incidents import Incident, SamplePost, Stage
from alerts.outbox import Digest, Message

POST_CHARACTERS: Final = 140
KEYWORD_CHARACTERS: Final = 64
LISTED: Final = 20
"""Incidents of a digest that are told in words; a webhook for programs lists all."""

# Marks that turn the direction of what follows: a text could show as another than it is.
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_PREFIXES: Final = {
    Stage.OPENED: "New",
    Stage.CONFIRMED: "Confirmed",
    Stage.CLOSED: "Over",
    Stage.RETRACTED: "Retracted",
}
_STANDING: Final = {
    Stage.OPENED: "going on, provisional: the latest window is still open",
    Stage.CONFIRMED: "going on, confirmed",
    Stage.CLOSED: "over",
    Stage.RETRACTED: "retracted: later counts no longer support it, or it is part of another incident",
}
_SHAPES: Final = {"pulse": "pulse", "ramp_up": "ramp-up", "mean_shift": "lasting shift"}


@dataclass(frozen=True)
class PostLine:
    """A sample post.

    Attributes:
        url: where TikTok shows it.
        text: its text on one line, empty if it is not known.
    """

    url: str
    text: str


@dataclass(frozen=True)
class Alert:
    """An alert in words.

    Attributes:
        title: one line that says it all.
        facts: name and value of everything else that is known, in reading order.
        posts: sample posts.
        link: the keyword's page on the dashboard, if there is one.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    posts: tuple[PostLine, ...]
    link: str | None


@dataclass(frozen=True)
class Phrasing:
    """What the words depend on beside the incident.

    Attributes:
        zone: whose clock times are told in.
        dashboard_url: root of the dashboard, without a slash at the end; ``None`` for no links.
    """

    zone: ZoneInfo
    dashboard_url: str | None = None

    def alert(self, message: Message | Digest) -> Alert:
        """Put a message or a digest into words."""
        if isinstance(message, Digest):
            return self._digest(message)
        incident = message.incident
        return Alert(
            title=f"{'Test' if message.test else _PREFIXES[message.event]}: {one_line(incident.keyword, KEYWORD_CHARACTERS)}"
            f" – {mentions(incident)} ({incident.severity})",
            facts=tuple(self._facts(incident)),
            posts=tuple(
                PostLine(post_url(post), one_line(post.text or "", POST_CHARACTERS)) for post in incident.posts
            ),
            link=self.link(incident),
        )

    def _digest(self, digest: Digest) -> Alert:
        incidents = [message.incident for message in digest.messages]
        counts = Counter(incident.severity for incident in incidents)
        facts = [
            (
                f"{one_line(message.incident.keyword, KEYWORD_CHARACTERS)} ({message.incident.severity})",
                f"{_PREFIXES[message.event].lower()}: {mentions(message.incident)}, {rarity(message.incident)}",
            )
            for message in digest.messages[:LISTED]
        ]
        if len(incidents) > LISTED:
            facts.append(("And", f"{len(incidents) - LISTED} more, less unusual"))
        by_severity = ", ".join(f"{count} {severity}" for severity, count in counts.items())
        return Alert(f"{len(incidents)} alerts in one: {by_severity}", tuple(facts), (), self.dashboard_url)

    def link(self, incident: Incident) -> str | None:
        """Return the address of the keyword's page on the dashboard."""
        query = urlencode({"q": incident.keyword, "incident": incident.incident_id})
        return self.dashboard_url and f"{self.dashboard_url}/keyword?{query}"

    def moment(self, moment: datetime) -> str:
        """Return a time as people read it."""
        return f"{moment.astimezone(self.zone):%-d %b %Y, %H:%M %Z}"

    def _facts(self, incident: Incident) -> Iterator[tuple[str, str]]:
        yield "What", f"{mentions(incident)}, at its peak of {self.moment(incident.peak_at)}"
        yield "How unusual", f"{rarity(incident)}; severity {incident.severity}"
        yield "Since", self.moment(incident.opened_at)
        yield "State", _standing(incident, self)
        yield "Shape", _SHAPES.get(incident.shape, one_line(incident.shape, KEYWORD_CHARACTERS))
        if incident.drivers:
            names = (one_line(driver.keyword, KEYWORD_CHARACTERS) for driver in incident.drivers)
            yield "Drivers", f"came with {', '.join(names)} (from sample posts)"
        if incident.watched:
            yield "Watchlist", "yes"


def mentions(incident: Incident) -> str:
    """Return how often the keyword was mentioned, and how often it was expected to be."""
    kind = "only " if incident.kind == "drop" else ""
    return f"{kind}{incident.peak_mentions:,} mentions in 15 minutes, {_rounded(incident.peak_expected)} expected"


def return_days(incident: Incident) -> float | None:
    """Return the return period in days that the score stands for; ``None`` if the detector's score is no such thing."""
    if incident.detector not in {None, "return_period"}:
        return None
    return float(10**incident.peak_score - 1)


def rarity(incident: Incident) -> str:
    """Return how unusual an incident is, in words."""
    days = return_days(incident)
    if days is None:
        return f"score {incident.peak_score:.1f} of the {incident.detector} rule"
    if days < 1:
        return "more often than once a day"
    if days > 36_500:
        return "less than once in 100 years"
    return f"about once in {_rounded(days)} {'day' if _rounded(days) == '1' else 'days'}"


def post_url(post: SamplePost) -> str:
    """Return where TikTok shows a post; it finds the author by itself."""
    return f"https://www.tiktok.com/@/video/{post.post_id}"


def one_line(text: str, most: int) -> str:
    r"""Return a text without line breaks, control characters and changes of direction, at most so many characters long.

    >>> one_line("a\r\nBcc: b\u202e", 99)
    'a Bcc: b'
    >>> one_line("abcdef", 4)
    'abc…'
    """
    kept = (" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in text if c not in _BIDI)
    line = " ".join("".join(kept).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _standing(incident: Incident, phrasing: Phrasing) -> str:
    standing = _STANDING[incident.stage]
    if incident.stage is Stage.CLOSED and incident.closed_at:
        standing = f"over since {phrasing.moment(incident.closed_at)}"
    return standing


def _rounded(number: float) -> str:
    """Return two significant digits, or more where they are whole.

    >>> [_rounded(x) for x in (0.123, 1.0, 14.2, 1234.5)]
    ['0.12', '1', '14', '1,200']
    """
    return f"{float(f'{number:.2g}'):,.10g}"
