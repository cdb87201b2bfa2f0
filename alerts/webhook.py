"""A webhook for programs: JSON, signed after the Standard Webhooks specification (standardwebhooks.com, 1.0.0)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import msgspec

from alerts import http, wording
from alerts.outbox import Digest, Message


@dataclass(frozen=True)
class SigningKeys:
    """The keys that each message is signed with; during a change of key, the old one and the new one."""

    keys: Sequence[bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read keys, separated by spaces, each ``whsec_`` and 24 to 64 bytes in base64.

        Raises:
            ValueError: one is not of that form.
        """
        keys = []
        for word in text.split():
            try:
                key = base64.b64decode(word.removeprefix("whsec_"), validate=True)
            except binascii.Error:
                key = b""
            if not word.startswith("whsec_") or not 24 <= len(key) <= 64:
                msg = "expected whsec_ and 24 to 64 random bytes in base64: `python -m alerts secret` makes one"
                raise ValueError(msg)
            keys.append(key)
        if not keys:
            msg = "it is empty: `python -m alerts secret` makes one"
            raise ValueError(msg)
        return cls(tuple(keys))

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """Return the value of ``webhook-signature``: HMAC-SHA256 over ``id.timestamp.body``, in base64, per key."""
        signed = f"{message_id}.{timestamp}.".encode() + body
        digests = (hmac.digest(key, signed, hashlib.sha256) for key in self.keys)
        return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


@dataclass(frozen=True)
class Webhook:
    """The signed webhook.

    Attributes:
        address: where it is posted.
        keys: what it is signed with.
        phrasing: how times and links are told.
        clock: epoch seconds, for the time of the attempt.
    """

    address: http.Address
    keys: SigningKeys
    phrasing: wording.Phrasing
    clock: Callable[[], float] = time.time

    name: ClassVar[str] = "webhook"

    @property
    def where(self) -> str:
        """The host."""
        return str(self.address)

    def deliver(self, message: Message | Digest) -> None:
        """Sign and post; the time in the signature is that of the attempt, everything else is the same in each."""
        body = msgspec.json.encode(self.body(message))
        timestamp = int(self.clock())
        headers = {
            "webhook-id": message.message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self.keys.sign(message.message_id, timestamp, body),
        }
        http.post(self.address, body, headers)

    def body(self, message: Message | Digest) -> dict[str, Any]:
        """Return what is sent: ``type``, ``timestamp`` of the event, and as ``data`` the incident, or all of a digest."""
        if isinstance(message, Digest):
            alert = self.phrasing.alert(message)
            return {
                "type": "digest",
                "timestamp": max(one.incident.updated_at for one in message.messages),
                "data": {
                    "incidents": [{"event": one.event, **self._data(one)} for one in message.messages],
                    "summary": alert.title,
                    "url": alert.link,
                },
            }
        return {
            "type": "test" if message.test else f"incident.{message.event}",
            "timestamp": message.incident.updated_at,
            "data": self._data(message),
        }

    def _data(self, message: Message) -> dict[str, Any]:
        incident, alert = message.incident, self.phrasing.alert(message)
        return {
            "incident_id": incident.incident_id,
            "keyword": incident.keyword,
            "kind": incident.kind,
            "severity": incident.severity,
            "state": incident.state,
            "status": incident.status,
            "opened_at": incident.opened_at,
            "last_at": incident.last_at,
            "closed_at": incident.closed_at,
            "peak_at": incident.peak_at,
            "peak_mentions": incident.peak_mentions,
            "peak_expected": incident.peak_expected,
            "peak_score": incident.peak_score,
            "return_period_days": wording.return_days(incident),
            "rarity": wording.rarity(incident),
            "shape": incident.shape,
            "watched": incident.watched,
            "drivers": incident.drivers,
            # Ids are strings: they exceed what JSON's readers keep exactly.
            "posts": [
                {"post_id": str(post.post_id), "url": line.url, "text": line.text or None}
                for post, line in zip(incident.posts, alert.posts, strict=True)
            ],
            "summary": alert.title,
            "url": alert.link,
        }
