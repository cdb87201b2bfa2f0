"""What the dashboard is told: where to listen, where to read, and which secrets guard it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from programs.errors import UserError
from transforms.sources.security import librdkafka_settings

DEFAULT_ADDRESS = "127.0.0.1:8050"
LEAST_TOKEN_LENGTH = 16


@dataclass(frozen=True)
class Login:
    """How to log in to Postgres; the password stays out of anything that is shown."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Kafka:
    """Where the topic of posts is, and who reads it.

    Attributes:
        bootstrap_servers: brokers, HOST:PORT[,…].
        topic: the topic of posts.
        group: consumer group of the stream.
        security: librdkafka's settings of TLS and SASL.
    """

    bootstrap_servers: str = "127.0.0.1:9092"
    topic: str = "posts"
    group: str = "tiktok-stream"
    security: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Config:
    """The validated settings of one dashboard.

    Attributes:
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        token: secret for writes and, unless it is private, for everything; None makes the dashboard read-only.
        postgres: libpq's ``host``, ``port`` and ``dbname``.
        reader: login that reads.
        editor: login that writes watchlist and feedback; None makes the dashboard read-only.
        flink: ``HOST:PORT`` of Flink's REST API.
        kafka: where the posts come from.
        behind_proxy: a proxy passes on what other machines ask, and tells of whom in ``X-Forwarded-…`` headers.
        query_seconds: time that one query may take.
        connections: connections to Postgres that the reader may have.
        requests_per_minute: of one client, over which it is told to wait.
        streams: event streams that may be open at a time.
        poll_seconds: time between two looks for revised incidents.
    """

    host: str
    port: int
    token: str | None = field(repr=False)
    postgres: Mapping[str, str]
    reader: Login
    editor: Login | None
    flink: str
    kafka: Kafka = Kafka()
    behind_proxy: bool = False
    query_seconds: float = 5.0
    connections: int = 8
    requests_per_minute: int = 600
    streams: int = 64
    poll_seconds: float = 1.0

    @property
    def is_private(self) -> bool:
        """Whether it is for this machine alone."""
        return is_loopback(self.host) and not self.behind_proxy

    @property
    def url(self) -> str:
        """Where a browser finds the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(env: Mapping[str, str], address: str | None = None) -> Config:
    """Read the settings from an environment.

    Args:
        env: names as in ``.env.example``.
        address: ``HOST:PORT`` to listen on; wins over ``DASHBOARD_ADDRESS``.

    Raises:
        UserError: a setting is missing or cannot be.
    """
    host, port = _address(address or env.get("DASHBOARD_ADDRESS") or DEFAULT_ADDRESS)
    token = env.get("DASHBOARD_TOKEN") or None
    if token is not None and len(token) < LEAST_TOKEN_LENGTH:
        msg = f"DASHBOARD_TOKEN has {len(token)} characters, too few to be safe: use {LEAST_TOKEN_LENGTH} or more"
        raise UserError(msg)
    behind_proxy = _yes(env, "DASHBOARD_BEHIND_PROXY")
    if token is None and (behind_proxy or not is_loopback(host)):
        where = "What is behind a proxy" if behind_proxy else host
        msg = (
            f"{where} can be reached from other machines, so every request needs a token: set DASHBOARD_TOKEN, "
            f"or listen on {DEFAULT_ADDRESS} without DASHBOARD_BEHIND_PROXY"
        )
        raise UserError(msg)
    reader = _login(env, "PGREADER")
    if reader is None:
        msg = "PGREADER_PASSWORD is not set: `make up` writes .env, or set it and PGREADER_USER in the environment"
        raise UserError(msg)
    return Config(
        host=host,
        port=port,
        token=token,
        postgres={
            "host": env.get("PGHOST") or "127.0.0.1",
            "port": env.get("PGPORT") or "5432",
            "dbname": env.get("PGDATABASE") or "tiktok",
        },
        reader=reader,
        editor=_login(env, "PGEDITOR"),
        flink=env.get("FLINK_MASTER") or "127.0.0.1:8081",
        kafka=Kafka(
            env.get("KAFKA_BOOTSTRAP_SERVERS") or Kafka.bootstrap_servers,
            env.get("TOPIC_POSTS") or Kafka.topic,
            env.get("KAFKA_CONSUMER_GROUP") or Kafka.group,
            librdkafka_settings(env),
        ),
        behind_proxy=behind_proxy,
    )


def _yes(env: Mapping[str, str], name: str) -> bool:
    value = (env.get(name) or "no").lower()
    if value not in {"yes", "no"}:
        msg = f"{name}={env[name]}: expected yes or no"
        raise UserError(msg)
    return value == "yes"


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or int(port) > 65535:
        msg = f"{text}: expected HOST:PORT, such as {DEFAULT_ADDRESS} (--address or DASHBOARD_ADDRESS)"
        raise UserError(msg)
    return host, int(port)


def _login(env: Mapping[str, str], prefix: str) -> Login | None:
    defaults = {"PGREADER": "tiktok_dashboard", "PGEDITOR": "tiktok_editor"}
    password = env.get(f"{prefix}_PASSWORD")
    return Login(env.get(f"{prefix}_USER") or defaults[prefix], password) if password else None
