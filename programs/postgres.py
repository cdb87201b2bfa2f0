"""Connecting to Postgres for a main program: a failure is the user's to put right."""

from __future__ import annotations

from typing import Any

import psycopg2

from programs.errors import UserError

CONNECT_SECONDS = 10


def connect(application: str, user: str | None = None, password: str | None = None) -> Any:
    """Connect as libpq's environment says (PGHOST, PGPORT, …).

    Args:
        application: name that Postgres shows for the connection.
        user: login, if not PGUSER.
        password: its password, if not PGPASSWORD.

    Raises:
        UserError: there is no connection to be had.
    """
    try:
        return psycopg2.connect(
            "", connect_timeout=CONNECT_SECONDS, application_name=application, user=user, password=password
        )
    except psycopg2.OperationalError as error:
        cause = str(error).strip().splitlines()[0]
        msg = f"no connection to Postgres: {cause}: start it with `make up`, or see PGHOST … in .env"
        raise UserError(msg) from None
