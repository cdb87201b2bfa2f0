"""Empty what the pipelines fill: tables, lake and topics. The stack, its logins and its settings stay."""

from __future__ import annotations

import time

import psycopg2
from kafka import KafkaAdminClient

from beam_pipelines.flink import TERMINAL_STATES, Cluster
from local import stack
from local.settings import Settings
from transforms import lake

TABLES = tuple(
    """
    outliers incidents keyword_windows streamed_windows window_totals baselines baseline_tables baseline_versions
    posts keyword_daily challenge_daily music_daily dead_letters trends uncounted common_hashtags parsed_days parse_runs
    parity_days staged_chunks staged_challenges staged_music staged_dead_letters staged_totals staged_uncounted
    """.split()
)


def cancel_jobs(settings: Settings, name: str | None = None) -> None:
    """Cancel the cluster's jobs of that name, all of them without one, and wait until they have ended."""
    cluster = Cluster(str(settings.flink))
    for job in cluster.jobs():
        if job["name"] == (name or job["name"]) and job["state"] not in TERMINAL_STATES:
            cluster.cancel(job["jid"])


def empty_stores(settings: Settings) -> None:
    """Remove what is in tables and lake; ``settings.environment`` must be in ``os.environ``."""
    connection = psycopg2.connect("")
    with connection, connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(TABLES)}")
    connection.close()
    lake.remove(settings.environment["LAKE"])


def empty(settings: Settings) -> None:
    """Remove all data; ``settings.environment`` must be in ``os.environ``. Jobs still running would fill them again."""
    empty_stores(settings)
    admin = KafkaAdminClient(bootstrap_servers=str(settings.kafka))
    topics = [settings.topic_posts, settings.topic_outliers, settings.topic_dead]
    admin.delete_topics([topic for topic in topics if topic in admin.list_topics()])
    while set(topics) & set(admin.list_topics()):
        time.sleep(0.2)
    admin.close()
    stack.up(settings)  # makes the topics again
