"""Who may do what: logins, tokens, sessions, host names, limits; and that text stays text."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg2
import pytest
from fastapi.testclient import TestClient

from dashboard.__main__ import _Server
from dashboard.config import Config, load
from dashboard.problems import ProblemError
from dashboard.security import COOKIE, session_value
from programs.errors import UserError
from tests.dashboard.conftest import TOKEN
from tests.dashboard.world import World

pytestmark = pytest.mark.integration

API = "/api/v1"
OWN = "http://127.0.0.1:8050"
Make = Callable[..., TestClient]


def writes(world: World) -> list[tuple[str, str, Any]]:
    feedback = f"{API}/incidents/{world.incidents['sushi']}/feedback"
    return [
        ("POST", f"{API}/watchlist", {"keyword": "chess"}),
        ("PATCH", f"{API}/watchlist/1", {"note": "x"}),
        ("DELETE", f"{API}/watchlist/1", None),
        ("PUT", feedback, {"verdict": "useful"}),
        ("DELETE", feedback, None),
    ]


def refused(client: TestClient, world: World, status: int, kind: str, **headers: str) -> None:
    before = client.get(f"{API}/watchlist").json()
    for method, path, body in writes(world):
        response = client.request(method, path, json=body, headers=headers)
        assert response.status_code == status, (method, path)
        assert response.json()["type"].endswith(f":{kind}")
    if client.get(f"{API}/watchlist").status_code == 200:
        assert client.get(f"{API}/watchlist").json() == before


def test_writes_need_the_token(client: TestClient, world: World) -> None:
    refused(client, world, 401, "token-needed")
    refused(client, world, 401, "token-needed", authorization=f"Bearer {TOKEN}x")
    refused(client, world, 401, "token-needed", authorization=f"Basic {TOKEN}")


def test_without_a_token_nobody_writes(make_client: Make, world: World) -> None:
    refused(make_client(token=None), world, 403, "read-only", authorization="Bearer ")


def test_without_an_editor_login_nobody_writes(make_client: Make, world: World) -> None:
    client = make_client(editor=None)
    refused(client, world, 503, "read-only", authorization=f"Bearer {TOKEN}")
    assert not client.get(f"{API}/session").json()["writable"]


def test_a_session_writes_from_the_own_page_alone(make_client: Make, world: World) -> None:
    client = make_client()
    assert client.post(f"{API}/session", json={"token": "wrong"}).status_code == 401
    signed = client.post(f"{API}/session", json={"token": TOKEN})
    assert signed.status_code == 204
    cookie = signed.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get(f"{API}/session").json()["signed_in"]
    refused(client, world, 403, "foreign-origin")
    refused(client, world, 403, "foreign-origin", origin="http://127.0.0.1:9999")
    proxied = {"origin": "https://dashboard.example", "x-forwarded-proto": "https"}
    refusal = client.post(f"{API}/watchlist", json={"keyword": "chess"}, headers=proxied)
    assert "DASHBOARD_BEHIND_PROXY=yes" in refusal.json()["detail"]
    feedback = f"{API}/incidents/{world.incidents['sushi']}/feedback"
    assert client.put(feedback, json={"verdict": "useful"}, headers={"origin": OWN}).status_code == 200
    assert client.delete(feedback, headers={"origin": OWN}).status_code == 204
    client.delete(f"{API}/session")
    assert not client.get(f"{API}/session").json()["signed_in"]


@pytest.mark.parametrize(
    "value", ["", "x", "1.abc", session_value(TOKEN, 1), session_value("another token", 9_999_999_999), "９９９９.x"]
)
def test_a_made_up_or_old_session_is_none(make_client: Make, value: str) -> None:
    client = make_client()
    response = client.get(f"{API}/session", headers={"cookie": f"{COOKIE}={value}".encode()})
    assert response.json()["signed_in"] is False


def test_beyond_loopback_everything_needs_the_token(make_client: Make, world: World) -> None:
    client = make_client(host="0.0.0.0")
    paths = [path for path in client.app.openapi()["paths"] if "{" not in path and not path.endswith("/session")]  # type: ignore[attr-defined]
    assert len(paths) > 8
    for path in [*paths, f"{API}/openapi.json", f"{API}/incidents/1"]:
        assert client.get(path).status_code == 401, path
    assert client.get("/").status_code == 200  # the page itself holds no data, and is where one signs in
    assert client.get(f"{API}/incidents", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_beyond_loopback_a_token_must_be_set() -> None:
    env = {"PGREADER_PASSWORD": "x", "DASHBOARD_ADDRESS": "0.0.0.0:8050"}
    with pytest.raises(UserError, match="DASHBOARD_TOKEN"):
        load(env)
    with pytest.raises(UserError, match="too few"):
        load({**env, "DASHBOARD_TOKEN": "short"})
    assert not load({**env, "DASHBOARD_TOKEN": "x" * 16}).is_private
    assert load(env, "127.0.0.1:0").is_private
    with pytest.raises(UserError, match="HOST:PORT"):
        load(env, "8050")


@pytest.mark.parametrize(
    "header",
    ["Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: a.example", "Via: 1.1 proxy"],
)
def test_what_a_proxy_passes_on_needs_the_token(make_client: Make, world: World, header: str) -> None:
    client = make_client()
    name, _, value = header.partition(": ")
    passed_on = {name: value}
    assert client.get(f"{API}/incidents").status_code == 200
    assert client.get(f"{API}/incidents", headers=passed_on).status_code == 401
    assert client.get(f"{API}/session", headers=passed_on).json()["required"]
    assert client.get("/", headers=passed_on).status_code == 200
    passed_on["Authorization"] = f"Bearer {TOKEN}"
    assert client.get(f"{API}/incidents", headers=passed_on).status_code == 200


def test_nginx_as_it_comes_needs_the_token(server: str) -> None:
    host, _, port = server.removeprefix("http://").partition(":")
    for version, status in (("1.0", b"401"), ("1.1", b"200")):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            request = f"GET {API}/session HTTP/{version}\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
            connection.sendall(request.replace("session", "incidents").encode())
            assert connection.makefile("rb").readline().split()[1] == status


def test_behind_a_proxy_everything_needs_the_token(make_client: Make, world: World) -> None:
    client = make_client(behind_proxy=True)
    own_name = {"host": "dashboard.example"}
    assert client.get(f"{API}/incidents", headers=own_name).status_code == 401
    assert client.get("/", headers=own_name).status_code == 200
    env = {"PGREADER_PASSWORD": "x", "DASHBOARD_BEHIND_PROXY": "yes"}
    with pytest.raises(UserError, match="set DASHBOARD_TOKEN"):
        load(env)
    assert not load({**env, "DASHBOARD_TOKEN": "x" * 16}).is_private
    with pytest.raises(UserError, match="expected yes or no"):
        load({**env, "DASHBOARD_BEHIND_PROXY": "1"})


def test_only_a_proxy_says_who_the_client_is(config: Config) -> None:
    assert not _Server(config, "warning").config.proxy_headers
    assert _Server(replace(config, behind_proxy=True), "warning").config.proxy_headers


def test_passwords_are_not_shown(config: Config) -> None:
    text = repr(config)
    assert TOKEN not in text
    assert config.reader.password not in text


def test_a_foreign_host_name_reads_nothing(client: TestClient) -> None:
    assert client.get(f"{API}/incidents", headers={"host": "evil.example:8050"}).status_code == 400
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.get(f"{API}/incidents", headers={"host": "localhost:8050"}).status_code == 200


def test_too_many_requests_are_told_to_wait(make_client: Make, world: World) -> None:
    client = make_client(requests_per_minute=5)
    answers = [client.get(f"{API}/session") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    guessing = make_client()
    statuses = [guessing.post(f"{API}/session", json={"token": "guess"}).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]


def test_the_reader_reads_and_the_editor_edits_nothing_else(config: Config, world: World) -> None:
    assert config.editor is not None
    for login, statement in (
        (config.reader, "INSERT INTO watchlist (keyword) VALUES ('x')"),
        (config.reader, "DELETE FROM feedback"),
        (config.editor, "DELETE FROM outliers"),
        (config.editor, "UPDATE incidents SET state = 'closed'"),
        (config.editor, "SELECT * FROM posts"),
        (config.editor, "CREATE TABLE mine ()"),
    ):
        connection = psycopg2.connect(**config.postgres, user=login.user, password=login.password)
        with connection, connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)
        connection.close()


def test_a_slow_query_ends_as_a_problem(make_client: Make, world: World) -> None:
    reader = make_client(query_seconds=0.05).app.state.services.reader  # type: ignore[attr-defined]
    with pytest.raises(ProblemError) as problem:
        reader.rows("SELECT pg_sleep(5)")
    assert problem.value.kind == "query-timeout"
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        reader.rows("CREATE TEMPORARY TABLE mine ()")
    assert reader.row("SELECT 1 AS one") == {"one": 1}


def test_postgres_away_is_a_problem_that_says_so(make_client: Make, config: Config) -> None:
    client = make_client(postgres={**config.postgres, "port": "9"})
    response = client.get(f"{API}/incidents")
    assert response.status_code == 503
    assert response.json()["type"].endswith(":database-away")
    assert "make up" in response.json()["detail"]
    assert config.reader.password not in response.text


def test_a_connection_that_died_is_replaced(client: TestClient, admin: Any) -> None:
    assert client.get(f"{API}/incidents").status_code == 200
    with admin, admin.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dashboard'")
    assert client.get(f"{API}/incidents").status_code == 200


INJECTIONS = [
    "'; DROP TABLE outliers; --",
    "' OR '1'='1",
    "%(keyword)s",
    "\\'; SELECT pg_sleep(9); --",
    "dance' UNION SELECT usename FROM pg_user --",
    "$$; DELETE FROM incidents; $$",
    "{0}%s%%",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_in_parameters_is_text(client: TestClient, writer: TestClient, world: World, text: str) -> None:
    span = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    for path, parameters in (
        ("/incidents", {"keyword": text}),
        ("/incidents", {"search": text}),
        ("/outliers", {"keyword": text}),
        ("/posts", {"keyword": text, **span}),
        ("/watchlist", {"list": text}),
    ):
        response = client.get(f"{API}{path}", params=parameters)
        assert response.status_code == 200, response.text
        assert response.json()["items"] == []
    for path, parameters in (("/series", {}), ("/season", {}), ("/drivers", span), ("/series.csv", {})):
        assert client.get(f"{API}{path}", params={"keyword": text, **parameters}).status_code == 200
    assert client.get(f"{API}/keywords", params={"prefix": text}).json() == {"items": []}
    made = writer.post(f"{API}/watchlist", json={"keyword": "thrift", "list": text, "note": text}).json()
    assert (made["list"], made["note"]) == (text, text)
    writer.delete(f"{API}/watchlist/{made['watch_id']}")
    assert client.get(f"{API}/incidents", params={"state": ["open", "closed", "retracted"]}).json()["items"]


def test_every_response_forbids_foreign_content(client: TestClient) -> None:
    for path in ("/", "/static/app.css", f"{API}/incidents", f"{API}/nothing", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    assert client.get(f"{API}/incidents").headers["cache-control"] == "no-store"
