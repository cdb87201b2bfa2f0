"""Fixtures of the tests on the running stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from local.reset import TABLES
from local.settings import Settings


@pytest.fixture
def connection(stack: Settings) -> Iterator[Any]:
    """A connection as the pipelines' login, to tables that are empty."""
    connection = psycopg2.connect("")
    with connection, connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(TABLES)}")
    yield connection
    connection.close()
