"""Checks before a job is submitted: are its servers there?"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from beam_pipelines.lake_address import check_lake
from beam_pipelines.stream_options import StreamConfig
from programs.errors import UserError
from programs.postgres import CONNECT_SECONDS, connect
from transforms.sources.security import java_settings, kafka_python_settings

BOOTSTRAP_MS = 15_000


def check_topics(servers: str, topics: Iterable[str]) -> None:
    """See that Kafka is there, lets us in, and has the topics.

    Args:
        servers: ``HOST:PORT``, comma-separated.
        topics: their names.

    Raises:
        UserError: it does not; the message says what to do.
    """
    try:
        _reach_one(servers.split(","))  # Kafka's client would go on trying for half a minute
        admin = KafkaAdminClient(
            bootstrap_servers=servers.split(","),
            bootstrap_timeout_ms=BOOTSTRAP_MS,
            request_timeout_ms=10_000,
            **kafka_python_settings(os.environ),
        )
        there = set(admin.list_topics())
        admin.close()
    except (KafkaError, OSError, ValueError) as error:
        msg = (
            f"no Kafka broker at {servers} ({error}): start it with `make up`, or set KAFKA_BOOTSTRAP_SERVERS; "
            "KAFKA_SECURITY_PROTOCOL and the like if it wants TLS or a login"
        )
        raise UserError(msg) from None
    for topic in topics:
        if topic not in there:
            msg = f"Kafka has no topic {topic!r}: `make up` creates the topics; or name another with --topic_…"
            raise UserError(msg)


def _reach_one(servers: Sequence[str]) -> None:
    failure: OSError | None = None
    for server in servers:
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        except OSError as error:
            failure = error
        else:
            return
    if failure is not None:
        raise failure


def check_servers(config: StreamConfig) -> None:
    """See that Kafka, the lake and Postgres are there, before a job fails for want of them.

    Raises:
        UserError: one is not; the message says which and what to do.
    """
    if config.source == "kafkaio":
        try:
            java_settings(os.environ)
        except ValueError as error:
            msg = f"--source=kafkaio: {error}; or take --source=librdkafka"
            raise UserError(msg) from None
    check_topics(config.bootstrap_servers, (config.topic_posts, config.topic_outliers, config.topic_dead))
    check_lake(config.lake)
    connection = connect("preflight")
    with connection, connection.cursor() as cursor:
        for table in ("outliers", "keyword_windows", "window_totals", "baseline_versions", "baseline_tables"):
            cursor.execute("SELECT to_regclass(%s) IS NULL", (table,))
            if cursor.fetchone()[0]:
                msg = f"Postgres has no table {table!r}: `make up` runs the migrations in sql/"
                raise UserError(msg)
    connection.close()
