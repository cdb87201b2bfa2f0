"""Fixtures: a generated world in a real Postgres, the application over it, a running server, and a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import uvicorn
from fastapi.testclient import TestClient
from playwright.sync_api import sync_playwright

from dashboard.app import create_app
from dashboard.config import Config, Kafka, Login
from local import browser
from local.settings import ROOT, Settings
from tests.dashboard import world as generated

TOKEN = "a-token-of-the-tests"
PATIENCE_SECONDS = 60.0
"""How long a page may take for what takes it a fraction of a second alone: machines that run tests are busy."""

SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM_OPTIONS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --font-render-hinting=none"
).split()


@pytest.fixture(scope="session")
def admin(postgres: Settings) -> Iterator[Any]:
    """A connection that may do everything, each statement committed as it runs."""
    connection = psycopg2.connect(
        host=postgres.postgres.host,
        port=postgres.postgres.port,
        dbname=postgres.database,
        user=postgres.admin.user,
        password=postgres.admin.password,
    )
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def world(admin: Any) -> generated.World:
    """The generated world, in the database."""
    generated.empty(admin)
    return generated.fill(admin)


@pytest.fixture
def totals(admin: Any, world: generated.World) -> Iterator[Callable[..., None]]:
    """Change ``window_totals`` by a statement; it is as before afterwards."""
    with admin, admin.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE totals_before AS TABLE window_totals")

    def change(statement: str, *values: Any) -> None:
        with admin, admin.cursor() as cursor:
            cursor.execute(statement, values)

    yield change
    change("DELETE FROM window_totals; INSERT INTO window_totals TABLE totals_before; DROP TABLE totals_before")


@pytest.fixture(scope="session")
def config(postgres: Settings) -> Config:
    """Settings of a dashboard on loopback with a token; Flink is away."""
    return Config(
        host="127.0.0.1",
        port=8050,
        token=TOKEN,
        postgres={"host": postgres.postgres.host, "port": str(postgres.postgres.port), "dbname": postgres.database},
        reader=Login(postgres.reader.user, postgres.reader.password),
        editor=Login(postgres.editor.user, postgres.editor.password),
        flink="127.0.0.1:9",
        kafka=Kafka("127.0.0.1:9"),
        requests_per_minute=100_000,
        poll_seconds=0.2,
    )


@pytest.fixture(scope="session")
def make_client(config: Config) -> Iterator[Callable[..., TestClient]]:
    """Make clients of applications with changed settings."""
    made: list[TestClient] = []

    def make(**changes: Any) -> TestClient:
        client = TestClient(create_app(replace(config, **changes)), base_url="http://127.0.0.1:8050")
        made.append(client)
        return client

    yield make
    for client in made:
        client.app.state.services.close()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def client(make_client: Callable[..., TestClient], world: generated.World) -> TestClient:
    """A client that is not signed in."""
    return make_client()


@pytest.fixture(scope="session")
def writer(make_client: Callable[..., TestClient], world: generated.World) -> TestClient:
    """A client with the token."""
    client = make_client()
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    return client


@pytest.fixture(scope="session")
def server(config: Config, world: generated.World) -> Iterator[str]:
    """A running server's address."""
    app = create_app(config)
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    app.state.newsroom.close()
    running.should_exit = True
    thread.join(20)
    assert not thread.is_alive(), "the server does not end while a page listens"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser."""
    path = browser.find()
    if path is None:
        pytest.skip("no Chromium: install it (make browser), or set CHROMIUM to its path")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(chromium: Any, server: str) -> Iterator[Callable[..., Any]]:
    """Open a view and wait until it shows something; any error on the page's console fails the test."""
    contexts, errors = [], []

    def opened(path: str, *, expect_errors: bool = False, **options: Any) -> Any:
        context = chromium.new_context(
            **{"viewport": {"width": 1360, "height": 900}, "timezone_id": "Europe/Berlin", "locale": "en-GB", **options}
        )
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        contexts.append(context)
        page = context.new_page()
        if not expect_errors:
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server + path)
        page.wait_for_selector("main h1")
        return page

    yield opened
    for context in contexts:
        # A view asks again by itself: a request may be in a test's handler now, and its error would be the next test's.
        for page in context.pages:
            page.unroute_all(behavior="ignoreErrors")
        context.close()
    assert not errors


def screenshot(page: Any, name: str) -> Path:
    """Keep a picture of the whole view as an artefact."""
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path


def until(page: Any, expression: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something is true on the page; Playwright's own way needs an `eval` that the page's policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"not within {seconds} s: {expression}"
        page.wait_for_timeout(50)
