"""E-mail by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from enum import StrEnum
from html import escape
from typing import ClassVar, Final

from alerts.delivery import DeliveryError
from alerts.outbox import Digest, Message
from alerts.wording import Alert, Phrasing, one_line

TIMEOUT_SECONDS: Final = 15.0
"""Of each step of the dialogue."""

_LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}
_ERROR_CHARACTERS: Final = 200


class Security(StrEnum):
    """How the connection is protected; certificates are always verified."""

    OFFERED = "offered"  # STARTTLS if the server has it
    STARTTLS = "starttls"  # STARTTLS, or nothing is sent
    TLS = "tls"  # from the first byte, usually port 465


@dataclass(frozen=True)
class Mail:
    """A mail server, and who writes to whom.

    Attributes:
        host: the server.
        port: its port.
        security: how the connection is protected.
        sender: whom mails are from.
        recipients: whom they go to.
        phrasing: how times and links are told.
        user: login, ``None`` for none.
        password: its password.
    """

    host: str
    port: int
    security: Security
    sender: Address
    recipients: Sequence[Address]
    phrasing: Phrasing
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    # Who got a message that others are still to get, by message id. A service that is started anew sends it to all again.
    _has: dict[str, frozenset[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    name: ClassVar[str] = "email"

    @property
    def where(self) -> str:
        """Recipients and server."""
        return f"{', '.join(address.addr_spec for address in self.recipients)} by {self.host}:{self.port}"

    def deliver(self, message: Message | Digest) -> str | None:
        """Send one mail to all recipients who have not got it yet; return who was refused for good if others were not.

        Raises:
            DeliveryError: somebody is put off, so that it is to be tried again, or everybody was refused.
        """
        has = self._has.get(message.message_id, frozenset())
        left = [address.addr_spec for address in self.recipients if address.addr_spec not in has]
        try:
            refused = self._send(self.render(message), left)
        except smtplib.SMTPRecipientsRefused as error:  # nobody got it now
            refused = error.recipients
        except (smtplib.SMTPException, OSError) as error:
            raise _failure(error) from None
        else:
            has |= set(left) - refused.keys()
        permanent = all(code >= 500 for code, _ in refused.values())
        if permanent:
            self._has.pop(message.message_id, None)
        else:
            self._has[message.message_id] = has
        if not has or not permanent:
            msg = f"refused: {_refusals(refused)}"
            raise DeliveryError(msg, permanent=permanent)
        return f"refused: {_refusals(refused)}" if refused else None

    def render(self, message: Message | Digest) -> EmailMessage:
        """Return the mail, the same in each attempt; those of one incident form a thread."""
        alert = self.phrasing.alert(message)
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self.sender
        mail["To"] = self.recipients
        mail["Subject"] = alert.title
        mail["Date"] = format_datetime(message.created_at)
        mail["Message-ID"] = self._message_id(message.message_id)
        if message.thread_id != message.message_id:
            mail["In-Reply-To"] = mail["References"] = self._message_id(message.thread_id)
        mail["Auto-Submitted"] = "auto-generated"  # holiday replies are not for us
        mail.set_content(plain_text(alert))
        mail.add_alternative(html(alert), subtype="html")
        return mail

    def _message_id(self, message_id: str) -> str:
        return f"<{message_id}@{self.sender.domain}>"

    def _send(self, mail: EmailMessage, recipients: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        context = ssl.create_default_context()
        server: smtplib.SMTP
        if self.security is Security.TLS:
            server = smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_SECONDS, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
        try:
            server.ehlo_or_helo_if_needed()
            protected = self.security is Security.TLS
            if self.security is Security.STARTTLS or (not protected and server.has_extn("starttls")):
                server.starttls(context=context)
                server.ehlo()
                protected = True
            if self.user is not None and self.password is not None:
                if not protected and self.host not in _LOOPBACK:
                    msg = "the server offers no TLS, and the password is not sent without"
                    raise DeliveryError(msg)
                server.login(self.user, self.password)
            return server.send_message(mail, to_addrs=recipients)
        finally:
            # The mail is accepted or not by now; how the server takes leave changes nothing.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()


def plain_text(alert: Alert) -> str:
    """Return the alert as text."""
    lines = [alert.title, "", *(f"{name}: {value}" for name, value in alert.facts)]
    if alert.posts:
        lines += ["", "Posts:", *(f"- {post.url} {post.text}".rstrip() for post in alert.posts)]
    if alert.link:
        lines += ["", f"Dashboard: {alert.link}"]
    return "\n".join(lines) + "\n"


def html(alert: Alert) -> str:
    """Return the alert as HTML; nothing in it is loaded from anywhere."""
    rows = "".join(
        f'<tr><th align="left">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in alert.facts
    )
    posts = "".join(f'<li><a href="{escape(post.url)}">post</a> {escape(post.text)}</li>' for post in alert.posts)
    link = f'<p><a href="{escape(alert.link)}">Open the dashboard</a></p>' if alert.link else ""
    return (
        f"<!DOCTYPE html><html><body><h2>{escape(alert.title)}</h2>"
        f'<table cellpadding="4">{rows}</table>{f"<ul>{posts}</ul>" if posts else ""}{link}</body></html>\n'
    )


def _failure(error: smtplib.SMTPException | OSError) -> DeliveryError:
    """Say what went wrong; a refusal that the server calls permanent is not argued with, but for the login's."""
    match error:
        case smtplib.SMTPAuthenticationError():
            return DeliveryError(f"login refused: {_answer(error.smtp_code, error.smtp_error)}")
        case smtplib.SMTPResponseException():
            answer = _answer(error.smtp_code, error.smtp_error)
            return DeliveryError(f"refused: {answer}", permanent=error.smtp_code >= 500)
        case smtplib.SMTPNotSupportedError():
            return DeliveryError(f"the server lacks something: {one_line(str(error), _ERROR_CHARACTERS)}")
        case ssl.SSLError():
            return DeliveryError("TLS failed: the server's certificate is not trusted or not its own")
        case TimeoutError():
            return DeliveryError(f"no answer within {TIMEOUT_SECONDS:.0f} s")
        case _:
            return DeliveryError(f"no connection ({type(error).__name__})")


def _answer(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {one_line(words, _ERROR_CHARACTERS)}"


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return one_line("; ".join(f"{who}: {_answer(*why)}" for who, why in refused.items()), _ERROR_CHARACTERS)
