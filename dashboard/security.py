"""Who may do what: the token, sessions of browsers, and what every response must carry.

On loopback everybody on the machine may read, and the token is for writes. Beyond loopback, and for what a proxy passes
on, the token is for everything but the page's own files, which hold no data and are needed to sign in.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard import problems
from dashboard.config import Config
from dashboard.problems import ProblemError, documented
from dashboard.services import ServicesNeeded

API = "/api/v1"
COOKIE = "dashboard_session"
SESSION_SECONDS = 12 * 3600
SIGN_INS_PER_MINUTE = 10

# Nothing but the page's own files runs or is shown, and no text can become markup (trusted types).
CONTENT_POLICY = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
))  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

router = APIRouter(tags=["session"])
_bearer = HTTPBearer(auto_error=False, description="The value of DASHBOARD_TOKEN.")
_OF_PROXIES = frozenset(("forwarded", "via", "x-real-ip"))
_UNAUTHORIZED = {"WWW-Authenticate": 'Bearer realm="dashboard"'}


class Session(BaseModel):
    """What the one who asks may do."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"signed_in": False, "writable": True, "required": False}]}
    )

    signed_in: bool = Field(description="The request carries the token, or a session made with it.")
    writable: bool = Field(description="There is a token, so that who signs in may write.")
    required: bool = Field(description="Reading needs the token too.")


class SignIn(BaseModel):
    """The secret that a person types in."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"token": "the value of DASHBOARD_TOKEN"}]}
    )

    token: str = Field(max_length=1000)


def session_value(token: str, expires: int) -> str:
    """Make a session's cookie: valid until ``expires`` (epoch seconds) or until the token changes."""
    proof = hmac.new(token.encode(), f"session:{expires}".encode(), hashlib.sha256).hexdigest()
    return f"{expires}.{proof}"


def _by_cookie(request: Request, token: str) -> bool:
    value = request.cookies.get(COOKIE, "")
    expires = value.partition(".")[0]
    if not (expires.isascii() and expires.isdigit() and len(expires) < 15 and int(expires) > time.time()):
        return False
    return hmac.compare_digest(value.encode(), session_value(token, int(expires)).encode())


def _by_header(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def is_signed_in(request: Request, token: str | None) -> bool:
    """Tell whether a request comes from somebody who knows the token."""
    return token is not None and (_by_header(request, token) or _by_cookie(request, token))


def is_private(request: Request, config: Config) -> bool:
    """Tell whether a request comes from this machine itself, as far as it shows.

    A proxy on the same machine connects from there, too. It gives itself away by its headers or, without any, by HTTP/1.0,
    which nginx speaks unless it is told otherwise; where it does not, ``DASHBOARD_BEHIND_PROXY`` is what tells.
    """
    return config.is_private and not _is_passed_on(request)


def _is_passed_on(request: Request) -> bool:
    return request.scope.get("http_version") == "1.0" or any(
        name in _OF_PROXIES or name.startswith("x-forwarded-") for name in request.headers
    )


def _require_write(
    request: Request,
    services: ServicesNeeded,
    _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    token = services.config.token
    if token is None:
        raise ProblemError(403, "read-only", "This dashboard is read-only: it was started without DASHBOARD_TOKEN.")
    if _by_header(request, token):
        return
    if not _by_cookie(request, token):
        detail = "Writing needs the token: sign in on the page, or send `Authorization: Bearer …` with DASHBOARD_TOKEN."
        raise ProblemError(401, "token-needed", detail, _UNAUTHORIZED)
    # A page of another port of this host is "same site", so the cookie alone proves nothing.
    if request.headers.get("origin") != f"{request.url.scheme}://{request.headers.get('host', '')}":
        detail = "Only the dashboard's own page may write with a session."
        if _is_passed_on(request) and not services.config.behind_proxy:
            detail += " Behind a proxy it is known as that only with DASHBOARD_BEHIND_PROXY=yes."
        raise ProblemError(403, "foreign-origin", detail)


WriteAllowed = Depends(_require_write)


@router.get("/session", responses=documented(503))
def get_session(request: Request, services: ServicesNeeded) -> Session:
    """Tell what the one who asks may do."""
    config = services.config
    return Session(
        signed_in=is_signed_in(request, config.token),
        writable=config.token is not None and config.editor is not None,
        required=not is_private(request, config),
    )


@router.post("/session", status_code=204, responses=documented(401, 403, 422, 429))
def sign_in(given: SignIn, request: Request, response: Response, services: ServicesNeeded) -> None:
    """Exchange the token for a session cookie, which scripts cannot read; it lasts twelve hours."""
    token = services.config.token
    if token is None:
        raise ProblemError(403, "read-only", "This dashboard is read-only: it was started without DASHBOARD_TOKEN.")
    if not hmac.compare_digest(given.token.encode(), token.encode()):
        raise ProblemError(401, "wrong-token", "That is not the token. It is DASHBOARD_TOKEN in .env.", _UNAUTHORIZED)
    response.set_cookie(
        COOKIE,
        session_value(token, int(time.time()) + SESSION_SECONDS),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


@router.delete("/session", status_code=204)
def sign_out(response: Response) -> None:
    """Forget the session in this browser."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


class Guard:
    """Middleware around everything: host names, the token beyond loopback, rate limits, headers.

    Args:
        app: what it guards.
        config: the settings.
    """

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = app
        self._config = config
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._requests = parse(f"{config.requests_per_minute}/minute")
        self._sign_ins = parse(f"{SIGN_INS_PER_MINUTE}/minute")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with the problem that it has."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(Request(scope))
        except ProblemError as error:
            refusal = problems.response(scope["path"], error.status, error.kind, error.detail, error.headers)
            await refusal(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _check(self, request: Request) -> None:
        config = self._config
        if config.is_private and not self._is_own_name(request.headers.get("host", "")):
            # A page of a foreign host whose name was bent to 127.0.0.1 must not read anything.
            raise ProblemError(400, "foreign-host", f"This dashboard is at {config.url}.")
        path = request.url.path
        if not path.startswith("/api/"):
            return
        client = request.client.host if request.client else ""
        self._count(self._requests, "requests", client)
        if path == f"{API}/session":
            if request.method == "POST":
                self._count(self._sign_ins, "sign-ins", client)
        elif not is_private(request, config) and not is_signed_in(request, config.token):
            detail = "Every request needs the token: sign in on the page, or send `Authorization: Bearer …`."
            raise ProblemError(401, "token-needed", detail, _UNAUTHORIZED)

    def _is_own_name(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name.lower() in {"localhost", "127.0.0.1", "[::1]", self._config.host.lower()}

    def _count(self, limit: object, what: str, client: str) -> None:
        if not self._limiter.hit(limit, what, client):  # type: ignore[arg-type]
            reset = self._limiter.get_window_stats(limit, what, client).reset_time  # type: ignore[arg-type]
            wait = max(1, round(reset - time.time()))
            detail = f"Too many {what}: {limit}. Wait {wait} s."
            raise ProblemError(429, "too-many", detail, {"Retry-After": str(wait)})
