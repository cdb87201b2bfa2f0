"""Deliveries to a real web server and a real mail server."""

from __future__ import annotations

import json
import socket
import threading
import time
from email import message_from_bytes
from email.headerregistry import Address
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.smtp import AuthResult

from alerts import http as web
from alerts.delivery import DeliveryError
from alerts.mail import Mail, Security
from alerts.slack import Slack
from alerts.webhook import SigningKeys, Webhook
from alerts.wording import Phrasing
from tests.alerts.conftest import Receiver, StartMailServer, Tls
from tests.alerts.incident import message

PHRASING = Phrasing(ZoneInfo("UTC"))
KEYS = SigningKeys((b"k" * 32,))


def hook(url: str) -> Webhook:
    return Webhook(web.Address(f"{url}/hook/TOKEN"), KEYS, PHRASING)


def failure(channel: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        channel.deliver(message())
    assert "TOKEN" not in str(caught.value)
    return caught.value


def test_a_webhook_is_signed_over_the_very_bytes_that_come(receiver: Receiver) -> None:
    hook(receiver.url).deliver(message())
    (request,) = receiver.requests
    headers = request.headers
    assert request.path == "/hook/TOKEN"
    assert headers["webhook-id"] == message().message_id
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    expected = KEYS.sign(headers["webhook-id"], int(headers["webhook-timestamp"]), request.body)
    assert headers["webhook-signature"] == expected
    assert headers["content-type"] == "application/json"
    assert json.loads(request.body)["data"]["keyword"] == "dance"


def test_attempts_differ_in_the_time_of_the_signature_only(receiver: Receiver) -> None:
    for moment in (1_000_000_000, 2_000_000_000):
        Webhook(web.Address(receiver.url), KEYS, PHRASING, clock=lambda now=moment: float(now)).deliver(message())
    first, second = receiver.requests
    assert first.body == second.body
    changed = {name for name in first.headers if first.headers[name] != second.headers[name]}
    assert changed == {"webhook-timestamp", "webhook-signature"}


def test_no_login_is_sent(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password TOKEN\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    hook(receiver.url).deliver(message())
    assert "authorization" not in receiver.requests[0].headers


def test_an_answer_is_shown_only_if_it_is_a_code(receiver: Receiver) -> None:
    receiver.answer = lambda _: (404, {"Content-Length": "10"})
    receiver.content = b"no_service"
    assert str(failure(hook(receiver.url))) == "HTTP 404: no_service"
    receiver.content = b"POST TOKEN"
    assert str(failure(hook(receiver.url))) == "HTTP 404"


def test_slack_gets_blocks_and_a_text_for_notifications(receiver: Receiver) -> None:
    Slack(web.Address(f"{receiver.url}/services/TOKEN"), PHRASING).deliver(message())
    body = json.loads(receiver.requests[0].body)
    assert body["text"].startswith("New: dance")
    assert body["blocks"][0]["text"]["text"].startswith("*New: dance")


@pytest.mark.parametrize(
    ("status", "headers", "permanent", "retry_after"),
    [
        (500, {}, False, None),
        (503, {"Retry-After": "30"}, False, 30.0),
        (429, {"Retry-After": "999999"}, False, web.MOST_RETRY_AFTER),
        (429, {"Retry-After": "soon"}, False, None),
        (404, {}, False, None),
        (410, {}, True, None),
        (304, {}, False, None),
    ],
)
def test_only_2xx_is_success(
    receiver: Receiver, status: int, headers: dict[str, str], permanent: bool, retry_after: float | None
) -> None:
    receiver.answer = lambda _: (status, headers)
    error = failure(hook(receiver.url))
    assert str(error).startswith(f"HTTP {status}")
    assert (error.permanent, error.retry_after) == (permanent, retry_after)


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.answer = lambda _: (307, {"Location": f"{receiver.url}/elsewhere"})
    assert "redirects are not followed" in str(failure(hook(receiver.url)))
    assert [request.path for request in receiver.requests] == ["/hook/TOKEN"]


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert str(failure(hook(f"http://127.0.0.1:{port}"))) == "connection refused"
    assert str(failure(hook("http://no-such-host.invalid"))) == "the host's name is not known"


def test_a_receiver_that_does_not_answer(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "READ_SECONDS", 0.2)
    release = threading.Event()
    receiver.answer = lambda _: ((release.wait(30) and 200) or 200, {})
    error = failure(hook(receiver.url))
    release.set()
    assert "no answer within" in str(error)


def test_certificates_are_verified(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = tls.context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # a client that breaks off is the point
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    channel = hook(f"https://127.0.0.1:{server.server_address[1]}")
    try:
        assert str(failure(channel)).startswith("TLS failed")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls.authority))
        channel.deliver(message())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def mail(port: int, security: Security = Security.OFFERED, host: str = "127.0.0.1", **login: str) -> Mail:
    to = tuple(Address(addr_spec=text) for text in ("b@y.org", "c@z.org"))
    return Mail(host, port, security, Address(addr_spec="a@x.org"), to, PHRASING, **login)


def test_a_mail_comes_to_all_recipients_as_text_and_html(start_mail_server: StartMailServer) -> None:
    server = start_mail_server()
    assert mail(server.port).deliver(message()) is None
    (envelope,) = server.postbox.envelopes
    assert envelope.mail_from == "a@x.org"
    assert envelope.rcpt_tos == ["b@y.org", "c@z.org"]
    received = message_from_bytes(envelope.content, policy=default)
    assert received["Subject"] == "New: dance – 1,234 mentions in 15 minutes, 14 expected (high)"
    assert received["Message-ID"] == f"<{message().message_id}@x.org>"
    for kind in ("plain", "html"):
        part = received.get_body((kind,))
        assert part is not None
        assert "about once in 1,300 days" in part.get_content()


def test_the_mail_is_the_same_in_each_attempt(start_mail_server: StartMailServer) -> None:
    server = start_mail_server()
    for _ in range(2):
        mail(server.port).deliver(message())
    first, second = (message_from_bytes(envelope.content, policy=default) for envelope in server.postbox.envelopes)
    assert {**first, "Content-Type": ""} == {**second, "Content-Type": ""}  # but for the parts' boundary


def test_tls_is_used_when_it_is_offered(
    start_mail_server: StartMailServer, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_mail_server(tls_context=tls.context)
    assert str(failure(mail(server.port))).startswith("TLS failed")
    assert not server.postbox.envelopes
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    mail(server.port).deliver(message())
    mail(server.port, Security.STARTTLS).deliver(message())
    assert server.postbox.tls == [True, True]


def test_tls_from_the_first_byte(start_mail_server: StartMailServer, tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start_mail_server(ssl_context=tls.context)
    assert str(failure(mail(server.port, Security.TLS))).startswith("TLS failed")
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    mail(server.port, Security.TLS).deliver(message())
    assert len(server.postbox.envelopes) == 1


def test_tls_can_be_required(start_mail_server: StartMailServer) -> None:
    server = start_mail_server()
    assert "STARTTLS" in str(failure(mail(server.port, Security.STARTTLS)))
    assert not server.postbox.envelopes


def test_a_password_is_not_sent_in_the_clear_to_another_machine(start_mail_server: StartMailServer) -> None:
    seen = []

    def authenticate(*arguments: Any) -> AuthResult:
        seen.append(arguments)
        return AuthResult(success=True)

    server = start_mail_server(hostname="127.0.0.2", authenticator=authenticate, auth_require_tls=False)
    error = failure(mail(server.port, host="127.0.0.2", user="me", password="TOKEN"))
    assert "not sent without" in str(error)
    assert not seen


@pytest.mark.parametrize("welcome", [True, False])
def test_login(start_mail_server: StartMailServer, tls: Tls, monkeypatch: pytest.MonkeyPatch, welcome: bool) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    options = {"authenticator": lambda *_: AuthResult(success=welcome, handled=False), "auth_required": True}
    server = start_mail_server(tls_context=tls.context, **options)
    channel = mail(server.port, user="me", password="TOKEN")
    if welcome:
        channel.deliver(message())
        assert len(server.postbox.envelopes) == 1
    else:
        error = failure(channel)
        assert str(error).startswith("login refused: 535")
        assert not error.permanent


def test_refused_recipients(start_mail_server: StartMailServer) -> None:
    server = start_mail_server()
    server.postbox.refusals = {"b@y.org": "550 unknown"}
    assert mail(server.port).deliver(message()) == "refused: b@y.org: 550 unknown"
    assert server.postbox.envelopes[0].rcpt_tos == ["c@z.org"]
    server.postbox.refusals |= {"c@z.org": "450 later"}
    assert not failure(mail(server.port)).permanent
    server.postbox.refusals |= {"c@z.org": "550 unknown"}
    assert failure(mail(server.port)).permanent


def test_who_is_put_off_gets_the_mail_later_and_nobody_twice(start_mail_server: StartMailServer) -> None:
    server = start_mail_server()
    channel = mail(server.port)
    server.postbox.refusals = {"b@y.org": "450 greylisted"}
    error = failure(channel)
    assert (str(error), error.permanent) == ("refused: b@y.org: 450 greylisted", False)
    assert not failure(channel).permanent
    server.postbox.refusals = {}
    assert channel.deliver(message()) is None
    assert [envelope.rcpt_tos for envelope in server.postbox.envelopes] == [["c@z.org"], ["b@y.org"]]


def test_who_is_refused_for_good_after_a_while_is_told_but_the_mail_was_sent(
    start_mail_server: StartMailServer,
) -> None:
    server = start_mail_server()
    channel = mail(server.port)
    server.postbox.refusals = {"b@y.org": "450 greylisted"}
    failure(channel)
    server.postbox.refusals = {"b@y.org": "550 unknown"}
    assert channel.deliver(message()) == "refused: b@y.org: 550 unknown"
    assert [envelope.rcpt_tos for envelope in server.postbox.envelopes] == [["c@z.org"]]


@pytest.mark.parametrize(("answer", "permanent"), [("451 busy", False), ("554 spam", True)])
def test_a_refused_mail(start_mail_server: StartMailServer, answer: str, permanent: bool) -> None:
    server = start_mail_server()
    server.postbox.answer = answer
    error = failure(mail(server.port))
    assert (str(error), error.permanent) == (f"refused: {answer}", permanent)


def test_no_mail_server() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert str(failure(mail(port))) == "no connection (ConnectionRefusedError)"


def test_a_mail_server_that_is_none(receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Thread(target=lambda: silent.accept()[0].sendall(b"hello\r\n"), daemon=True).start()
        assert failure(mail(silent.getsockname()[1])).permanent is False
