"""``python -m dashboard``: serve the page and the API until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import FrameType

import uvicorn

from dashboard.app import create_app
from dashboard.config import DEFAULT_ADDRESS, Config, load
from programs import errors
from programs.errors import UserError

_DESCRIPTION = f"""\
The dashboard: what is unusual on TikTok now, and why; a web page and its API (/api/v1, described at
/api/v1/openapi.json). It reads Postgres with the read-only login and asks Flink and Kafka how the stream is.

  python -m dashboard                          http://{DEFAULT_ADDRESS}/
  python -m dashboard --address 0.0.0.0:8050   for other machines too: every request then needs the token

Settings come from the environment or .env:
  PGHOST, PGPORT, PGDATABASE                   where Postgres is
  PGREADER_USER, PGREADER_PASSWORD             the login that reads
  PGEDITOR_USER, PGEDITOR_PASSWORD             the login that writes watchlist and feedback; without it nobody can
  DASHBOARD_TOKEN                              what a person signs in with to write; without it nobody can
  DASHBOARD_ADDRESS                            where to listen (default: {DEFAULT_ADDRESS})
  DASHBOARD_BEHIND_PROXY                       yes: a proxy passes on what other machines ask; every request then needs
                                               the token, and X-Forwarded-… of 127.0.0.1 (FORWARDED_ALLOW_IPS) counts
  FLINK_MASTER                                 Flink's REST API (default: 127.0.0.1:8081)
  KAFKA_BOOTSTRAP_SERVERS, TOPIC_POSTS         where the posts come from, to tell how far the stream is behind
  KAFKA_CONSUMER_GROUP                         the stream's consumer group (default: tiktok-stream)

Ctrl-C ends it. It speaks plain HTTP: beyond your own machine put a proxy with TLS in front of it (docs/dashboard.md)."""


def main(argv: Sequence[str]) -> int:
    """Serve until a signal ends it.

    Raises:
        UserError: a setting is missing or wrong, or the address is taken.
    """
    parser = argparse.ArgumentParser(
        prog="python -m dashboard", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--address", metavar="HOST:PORT", help="where to listen; port 0 takes a free one")
    parser.add_argument(
        "--log_level", default="warning", choices=["debug", "info", "warning", "error"], help="default: %(default)s"
    )
    options = parser.parse_args(argv)
    logging.getLogger().setLevel(options.log_level.upper())
    config = load(os.environ, options.address)
    listening = _listen(config)
    config = replace(config, port=listening.getsockname()[1])
    server = _Server(config, options.log_level)
    print(f"dashboard: {config.url}   (Ctrl-C ends it)", flush=True)
    if config.token is None or config.editor is None:
        print("read-only: set DASHBOARD_TOKEN and PGEDITOR_PASSWORD to let people write", flush=True)
    with suppress(KeyboardInterrupt):  # raised again once all has ended well
        server.run(sockets=[listening])
    print("dashboard: stopped", flush=True)
    return 0


class _Server(uvicorn.Server):
    """A server that lets the event streams go when it is told to end: they would never end by themselves."""

    def __init__(self, config: Config, log_level: str) -> None:
        self._app = create_app(config)
        super().__init__(
            uvicorn.Config(
                self._app,
                log_level=log_level,
                access_log=log_level in {"debug", "info"},
                server_header=False,
                # Else who is on this machine could pass for another client with each request, and have no limit.
                proxy_headers=config.behind_proxy,
                timeout_graceful_shutdown=5,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.state.newsroom.close()
        super().handle_exit(sig, frame)


def _listen(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((config.host, config.port))
        listening.listen(128)  # who opens the address as soon as it is printed waits, rather than being refused
    except OSError as error:
        listening.close()
        msg = (
            f"cannot listen on {config.host}:{config.port} ({os.strerror(error.errno or 0).lower()}): stop what uses it, "
            "or choose another with --address or DASHBOARD_ADDRESS"
        )
        raise UserError(msg) from None
    return listening


if __name__ == "__main__":
    sys.exit(errors.start(main))
