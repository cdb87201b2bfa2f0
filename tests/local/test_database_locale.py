"""Keywords that begin with a text are found by an index, whatever the locale of the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg2
import pytest

from local import postgres as servers
from local.settings import Settings

pytestmark = pytest.mark.integration


def _connect(settings: Settings, database: str) -> Any:
    address = settings.postgres
    admin = settings.admin
    connection = psycopg2.connect(
        host=address.host, port=address.port, user=admin.user, password=admin.password, dbname=database
    )
    connection.autocommit = True
    return connection


@pytest.fixture(params=["builtin", "libc"])
def database(postgres: Settings, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A database as ours, and one of a locale that does not sort by code points, with 20,000 baselines."""
    name = f"of_{request.param}"
    server = _connect(postgres, "postgres")
    with server.cursor() as cursor:
        if request.param == "libc":
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C.UTF-8'")
    servers.provision(replace(postgres, database=name))
    connection = _connect(postgres, name)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO baseline_versions (detector, history_from, history_to, keywords)"
            " VALUES ('return_period', now(), now(), 20000)"
        )
        cursor.execute("INSERT INTO baselines SELECT 1, md5(n::text), 1, 1 FROM generate_series(1, 20000) n")
        cursor.execute("ANALYZE baselines")
    yield connection
    connection.close()
    with server.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")
    server.close()


def test_a_prefix_is_found_by_an_index(database: Any) -> None:
    with database.cursor() as cursor:
        cursor.execute("EXPLAIN SELECT keyword FROM baselines WHERE version = 1 AND keyword LIKE 'abc%'")
        plan = "\n".join(line for (line,) in cursor)
    condition = next(line for line in plan.splitlines() if "Index Cond" in line)
    assert "'abc'" in condition, plan


def test_a_database_sorts_by_code_points_on_older_servers_too() -> None:
    assert servers._locale(160004) == "LC_COLLATE 'C'"
    assert "builtin" in servers._locale(180001)
