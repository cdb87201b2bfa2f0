"""The API keeps to its own description: requests made from the OpenAPI document, valid and not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

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


@pytest.fixture
def described(make_client: Callable[..., TestClient], world: World) -> Any:
    app = make_client().app
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers={"host": "127.0.0.1:8050"})
    # The stream of events never ends, and signing in is limited; both have tests of their own.
    return schema.exclude(path=["/api/v1/events", "/api/v1/session"])


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_route_answers_as_described(case: schemathesis.Case) -> None:
    case.call_and_validate(
        headers={"host": "127.0.0.1:8050", "authorization": f"Bearer {TOKEN}"}, checks=CHECKS
    )


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
