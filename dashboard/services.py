"""What a request handler works with: the databases and the settings, made once per application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from dashboard.config import Config
from dashboard.database import Database
from dashboard.problems import ProblemError


@dataclass(frozen=True)
class Services:
    """The parts that handlers share.

    Attributes:
        config: the settings.
        reader: reads everything, writes nothing.
        editor: writes watchlist and feedback; None without such a login.
    """

    config: Config
    reader: Database
    editor: Database | None

    @classmethod
    def of(cls, config: Config) -> Services:
        """Make the parts; no connection is opened yet."""

        def database(login: object, connections: int, *, read_only: bool) -> Database:
            return Database(config.postgres, login, config.query_seconds, connections, read_only=read_only)  # type: ignore[arg-type]

        return cls(
            config,
            database(config.reader, config.connections, read_only=True),
            database(config.editor, 2, read_only=False) if config.editor else None,
        )

    def close(self) -> None:
        """End all connections."""
        self.reader.close()
        if self.editor is not None:
            self.editor.close()


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _reader(request: Request) -> Database:
    return _services(request).reader


def _editor(request: Request) -> Database:
    editor = _services(request).editor
    if editor is None:
        raise ProblemError(503, "read-only", "No login may write: set PGEDITOR_PASSWORD (`make up` writes it to .env).")
    return editor


ServicesNeeded = Annotated[Services, Depends(_services)]
Reader = Annotated[Database, Depends(_reader)]
Editor = Annotated[Database, Depends(_editor)]
