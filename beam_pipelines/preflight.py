"""Checks before a job is submitted: are its servers there?"""

from __future__ import annotations

import os
import socket

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from beam_pipelines.lake_address import check_lake
from beam_pipelines.stream_options import StreamConfig
from programs.errors import UserError
from programs.postgres import CONNECT_SECONDS, connect
from transforms.sources.security import kafka_python_settings

BOOTSTRAP_MS = 15_000


def check_servers(config: StreamConfig) -> None:
    """See that Kafka, the lake and Postgres are there, before a job fails for want of them.

    Raises:
        UserError: one is not; the message says which and what to do.
    """
    try:
        # Kafka's client would go on trying for half a minute.
        host, _, port = config.bootstrap_servers.split(",")[0].rpartition(":")
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        admin = KafkaAdminClient(
            bootstrap_servers=config.bootstrap_servers.split(","),
            bootstrap_timeout_ms=BOOTSTRAP_MS,
            request_timeout_ms=10_000,
            **kafka_python_settings(os.environ),
        )
        topics = set(admin.list_topics())
        admin.close()
    except (KafkaError, OSError, ValueError) as error:
        msg = (
            f"no Kafka broker at {config.bootstrap_servers} ({error}): start it with `make up`, "
            "or set KAFKA_BOOTSTRAP_SERVERS, and KAFKA_SECURITY_PROTOCOL and the like if it wants TLS or a login"
        )
        raise UserError(msg) from None
    for topic in (config.topic_posts, config.topic_outliers, config.topic_dead):
        if topic not in topics:
            msg = f"Kafka has no topic {topic!r}: `make up` creates the topics; or name another with --topic_…"
            raise UserError(msg)
    check_lake(config.lake)
    connection = connect("preflight")
    with connection, connection.cursor() as cursor:
        for table in ("outliers", "keyword_windows", "window_totals", "baseline_versions", "baseline_tables"):
            cursor.execute("SELECT to_regclass(%s) IS NULL", (table,))
            if cursor.fetchone()[0]:
                msg = f"Postgres has no table {table!r}: `make up` runs the migrations in sql/"
                raise UserError(msg)
    connection.close()
