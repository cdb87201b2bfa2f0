"""The API keeps to its own description: requests made from the OpenAPI document, valid and not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from dashboard.app import create_app
from dashboard.config import Config, Login
from tests.dashboard.conftest import TOKEN
from tests.dashboard.world import World

pytestmark = pytest.mark.integration

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
HEADERS = {"host": "127.0.0.1:8050", "authorization": f"Bearer {TOKEN}"}
# The stream of events never ends, and signing in is limited; both have tests of their own.
APART = {"/api/v1/events", "/api/v1/session"}


def operations() -> list[tuple[str, str]]:
    document = create_app(Config("127.0.0.1", 0, None, {}, Login("", ""), None, "")).openapi()
    return [(path, method) for path, methods in document["paths"].items() for method in methods if path not in APART]


@pytest.mark.parametrize(("path", "method"), operations())
def test_a_route_answers_as_described(
    make_client: Callable[..., TestClient], world: World, path: str, method: str
) -> None:
    described = schemathesis.openapi.from_asgi("/api/v1/openapi.json", make_client().app, headers=HEADERS)

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(described[path][method.upper()].as_strategy())
    def answers(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=HEADERS, checks=CHECKS)

    answers()


def test_every_route_has_an_example_and_its_problems(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    models = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            good = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
            model = good.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
            if model and not model.endswith(("Page", "Watchlist", "Sparklines", "Suggestions", "Season", "Feedback")):
                assert models[model.rpartition("/")[2]].get("examples"), where
            for status, answer in operation["responses"].items():
                if status.startswith(("4", "5")):
                    assert list(answer["content"]) == ["application/problem+json"], f"{where} {status}"
