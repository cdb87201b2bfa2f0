"""Posting to an address that the operator configured: verified TLS, no redirects, no secret in what is reported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

from alerts.delivery import DeliveryError

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 20.0
"""Until the answer begins."""

MOST_RETRY_AFTER: Final = 3600.0  # seconds

# Only a short code, as Slack answers, is shown of a body: others repeat the address, and that may hold a token.
_CODE: Final = re.compile(rb"[a-z_]{3,40}")


@dataclass(frozen=True)
class Address:
    """An http(s) address whose path and query may be secret."""

    url: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or any(c <= " " for c in self.url):
            msg = "expected an address such as https://example.org/hook"
            raise ValueError(msg)
        if parts.username is not None or parts.password is not None:
            msg = "user and password in the address are not supported: let a token in the path or the signature do"
            raise ValueError(msg)

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/…"


def post(address: Address, body: bytes, headers: Mapping[str, str]) -> None:
    """POST JSON; 2xx is success, anything else is not.

    Raises:
        DeliveryError: no success.
    """
    try:
        response = requests.post(
            address.url,
            data=body,
            headers={"Content-Type": "application/json", "User-Agent": "tiktok-anomalies-alerts/1", **headers},
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            auth=_no_login,
            stream=True,  # the answer's body is not waited for
        )
    except requests.RequestException as error:
        raise DeliveryError(_reason(error)) from None
    with response:
        status = response.status_code
        if 200 <= status < 300:
            return
        raise DeliveryError(_describe(response), permanent=status == 410, retry_after=_retry_after(response))


def _no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep ``requests`` from sending what ``~/.netrc`` has for the host."""
    return request


def _describe(response: requests.Response) -> str:
    text = f"HTTP {response.status_code}"
    if 300 <= response.status_code < 400:
        return f"{text}: redirects are not followed, set the final address"
    try:
        body = response.raw.read(100)
    except (OSError, HTTPError):
        body = b""
    return f"{text}: {body.decode()}" if _CODE.fullmatch(body) else text


def _retry_after(response: requests.Response) -> float | None:
    header = response.headers.get("Retry-After", "")
    return min(float(header), MOST_RETRY_AFTER) if header.isascii() and header.isdigit() else None


def _reason(error: requests.RequestException) -> str:
    """Say what went wrong without the words of the libraries, which tell the whole address."""
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS failed: the server's certificate is not trusted or not its own"
    if isinstance(error, requests.exceptions.ProxyError):
        return "no connection to the proxy (HTTPS_PROXY, HTTP_PROXY)"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:.0f} s"
    if isinstance(error, requests.Timeout):
        return f"no answer within {READ_SECONDS:.0f} s"
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(cause, NameResolutionError):
        return "the host's name is not known"
    if isinstance(cause, NewConnectionError):
        return "connection refused"
    return f"connection lost ({type(error).__name__})"
