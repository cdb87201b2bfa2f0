"""What a channel is, and what it reports when a delivery fails."""

from __future__ import annotations

from typing import Protocol

from alerts.outbox import Digest, Message


class DeliveryError(Exception):
    """A message was not delivered. The text is shown to people, so it holds neither addresses with tokens nor secrets.

    Attributes:
        permanent: the receiver will never take it.
        retry_after: seconds that the receiver asks to wait.
    """

    def __init__(self, reason: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.permanent = permanent
        self.retry_after = retry_after


class Channel(Protocol):
    """Somewhere that messages go."""

    @property
    def name(self) -> str:
        """What the outbox calls it."""

    @property
    def where(self) -> str:
        """Where it goes, as people may see it: without secrets."""

    def deliver(self, message: Message | Digest) -> str | None:
        """Deliver a message, or several in one; return what was not quite right, if anything.

        Raises:
            DeliveryError: it was not delivered, or perhaps.
        """
