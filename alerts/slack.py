"""Slack's incoming webhooks, and what takes the same messages (Mattermost, Rocket.Chat and others)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec

from alerts import http
from alerts.outbox import Digest, Message
from alerts.wording import Alert, Phrasing

LINES: Final = 7
"""Facts in one section; Slack takes 3,000 characters of each."""

_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",  # <!channel>, <@user> and <address|words> all begin with it
        ">": "&gt;",
        # A space without width after these: servers that read Markdown would notify @all and make a link of [a](b).
        "@": "@\u200b",
        "]": "]\u200b",
    }
)


@dataclass(frozen=True)
class Slack:
    """The webhook of a channel; the address is the secret.

    Attributes:
        address: where it is posted.
        phrasing: how times and links are told.
    """

    address: http.Address
    phrasing: Phrasing

    name: ClassVar[str] = "slack"

    @property
    def where(self) -> str:
        """The host."""
        return str(self.address)

    def deliver(self, message: Message | Digest) -> None:
        """Post; Slack itself knows no message ids, so the header serves others only."""
        body = msgspec.json.encode(render(self.phrasing.alert(message)))
        http.post(self.address, body, {"Idempotency-Key": message.message_id})


def render(alert: Alert) -> dict[str, Any]:
    """Return the message; ``text`` is what notifications show."""
    lines = [f"*{escape(name)}:* {escape(value)}" for name, value in alert.facts]
    blocks = [_section(f"*{escape(alert.title)}*")]
    blocks += [_section("\n".join(lines[i : i + LINES])) for i in range(0, len(lines), LINES)]
    if alert.posts:
        posts = [f"• <{post.url}|post> {escape(post.text)}".rstrip() for post in alert.posts]
        blocks.append(_section("\n".join(posts)))
    if alert.link:
        blocks.append(_section(f"<{escape(alert.link)}|Open the dashboard>"))
    return {"text": escape(alert.title), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def escape(text: str) -> str:
    """Return text that says what it says, and does nothing."""
    return text.translate(_ESCAPES)


def _section(text: str) -> dict[str, Any]:
    # Verbatim: what looks like an address or a channel in a text stays text.
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}
