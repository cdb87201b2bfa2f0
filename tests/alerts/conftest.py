"""Fixtures: a Postgres of its own, a receiver of webhooks and a mail server."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import trustme
from aiosmtpd.controller import Controller
from psycopg2.extras import execute_values

from local.settings import Login, Settings
from tests.conftest import running


@pytest.fixture(scope="session")
def server() -> Iterator[Settings]:
    """Postgres alone, beside that of the dashboard's tests: here each test begins with empty tables."""
    with running("test-alerts", {"postgres"}) as settings:
        yield settings


@dataclass
class Database:
    """The database, as its logins see it."""

    settings: Settings

    def connect(self, login: Login | None = None) -> Any:
        login = login or self.settings.alerts
        address = self.settings.postgres
        return psycopg2.connect(
            host=address.host,
            port=address.port,
            dbname=self.settings.database,
            user=login.user,
            password=login.password,
        )

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser."""
        connection = self.connect(self.settings.admin)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def incident(self, keyword: str = "dance", **columns: Any) -> int:
        """Insert an open, provisional, high incident, or one with other columns."""
        now = datetime.now(UTC)
        row = {
            "keyword": keyword,
            "opened_at": now,
            "last_at": now,
            "peak_at": now,
            "peak_score": 2.0,
            "severity": "high",
            "state": "open",
            "status": "provisional",
            "peak_mentions": 120,
            "peak_expected": 14.2,
            "shape": "pulse",
            **columns,
        }
        connection = self.connect(self.settings.writer)
        try:
            with connection, connection.cursor() as cursor:
                names = ", ".join(row)
                statement = f"INSERT INTO incidents ({names}) VALUES %s RETURNING incident_id"
                return int(execute_values(cursor, statement, [tuple(row.values())], fetch=True)[0][0])
        finally:
            connection.close()

    def change(self, incident_id: int, **columns: Any) -> None:
        """Change an incident as the stream does."""
        names = ", ".join(f"{name} = %s" for name in columns)
        self.run(
            f"UPDATE incidents SET {names}, updated_at = clock_timestamp() WHERE incident_id = %s",
            *columns.values(),
            incident_id,
        )

    def messages(self) -> list[tuple[str, str, str, int]]:
        """Channel, event, state and attempts of what is in the outbox, in order."""
        return self.run("SELECT channel, event, state, attempts FROM alert_outbox ORDER BY id")


@pytest.fixture
def database(server: Settings) -> Database:
    """The empty database."""
    database = Database(server)
    database.run("TRUNCATE incidents, outliers, posts, watchlist, alert_outbox, alert_mutes, alert_channels")
    return database


@dataclass
class Received:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A web server that keeps what it is sent.

    Attributes:
        url: where it listens.
        requests: what came.
        answer: called with each request; returns status and headers of the answer.
        content: body of the answer; its length is for ``answer`` to tell.
    """

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, dict[str, str]]] = lambda _: (200, {})
    content: bytes = b""

    def bodies(self) -> list[bytes]:
        return [request.body for request in self.requests]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A web server on a free port."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            receiver.requests.append(request)
            status, headers = receiver.answer(request)
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(receiver.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


class Postbox:
    """What a mail server does with what it gets: keeps it, unless it is told to refuse."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.refusals: dict[str, str] = {}  # answer per recipient
        self.answer = "250 OK"
        self.tls: list[bool] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            self.envelopes.append(envelope)
            self.tls.append(session.ssl is not None)
        return self.answer


class _AnyPort(Controller):
    """Lets the kernel choose the port."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@dataclass
class MailServer:
    """A mail server on a port of this machine."""

    port: int
    postbox: Postbox


StartMailServer = Callable[..., MailServer]


@pytest.fixture
def start_mail_server() -> Iterator[StartMailServer]:
    """Start mail servers; the arguments are aiosmtpd's."""
    controllers = []

    def start(**options: Any) -> MailServer:
        postbox = Postbox()
        controller = _AnyPort(postbox, port=0, **{"hostname": "127.0.0.1", **options})
        controller.start()
        controllers.append(controller)
        return MailServer(controller.port, postbox)

    yield start
    for controller in controllers:
        controller.stop()


@dataclass
class Tls:
    """A server's side of TLS, and the file that makes a client trust it."""

    context: ssl.SSLContext
    authority: Path


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    """A certificate of 127.0.0.1 by an authority of its own."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    return Tls(context, tmp_path / "authority.pem")
