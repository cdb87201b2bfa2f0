"""Kafka: one KRaft broker, and the topics of the pipelines."""

from __future__ import annotations

import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from contextlib import suppress
from pathlib import Path

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from local.jars import BROKER, ensure
from local.part import Launch, NotReadyError, Part, Say, java, write_if_changed
from local.settings import Settings, StackError
from transforms.sources.security import kafka_python_settings

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{broker},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}

# A name that is misspelt must fail, not become a topic.
auto.create.topics.enable=false
num.partitions=2

# One broker cannot replicate.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0

# The cleaner's default buffer is a third of this broker's heap.
log.cleaner.dedupe.buffer.size=33554432
"""

_LOGGING = """\
log4j.rootLogger=INFO, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d{ISO8601} %-5p %c{1} - %m%n
log4j.logger.kafka.request.logger=WARN
log4j.logger.kafka.network.RequestChannel$=WARN
log4j.logger.state.change.logger=WARN
"""


def part(settings: Settings) -> Part:
    """Describe the broker."""
    log = settings.log_dir / "kafka.log"
    return Part(
        name="kafka",
        title="Kafka",
        listens=[settings.kafka, settings.kafka_controller],
        where=str(settings.kafka),
        launch=lambda say: _launch(settings, say),
        check=lambda: _check(settings),
        log=log,
        output=log,
        order=1,
    )


def provision(settings: Settings) -> list[str]:
    """Create the topics that are missing, and give that of the posts the retention of the settings.

    Returns:
        What was done, in words.

    Raises:
        StackError: Kafka cannot be reached, or refuses.
    """
    # Posts carry their own, perhaps old, time; by age they would be deleted as soon as they are written.
    posts = {"retention.ms": "-1", "retention.bytes": str(settings.kafka_retention_bytes)}
    # Copies as many as is the brokers' default (-1).
    topics = [
        NewTopic(settings.topic_posts, 2, -1, topic_configs=posts),
        NewTopic(settings.topic_outliers, 1, -1, topic_configs={"retention.ms": "-1"}),
        NewTopic(settings.topic_dead, 1, -1, topic_configs={"retention.ms": "-1"}),
    ]
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=str(settings.kafka),
            client_id="local-stack",
            **kafka_python_settings(settings.environment),
        )
        try:
            existing = set(admin.list_topics())
            missing = [topic for topic in topics if topic.name not in existing]
            done = []
            if missing:
                with suppress(TopicAlreadyExistsError):  # somebody else was quicker
                    admin.create_topics(missing)
                done.append(f"created {', '.join(topic.name for topic in missing)}")
            if settings.topic_posts in existing:
                done += _retain(admin, settings.topic_posts, posts["retention.bytes"])
            return done
        finally:
            admin.close()
    except KafkaError as error:
        message = f"the topics can be neither read nor created in {settings.kafka} (KAFKA_BOOTSTRAP_SERVERS): {error}"
        raise StackError(message) from None


def _retain(admin: KafkaAdminClient, topic: str, size: str) -> list[str]:
    """Set how many bytes of a topic's partitions are kept, if it is another number now; tell so."""
    name = "retention.bytes"
    asked = ConfigResource(ConfigResourceType.TOPIC, topic, [name])
    now = admin.describe_configs([asked], config_filter="all")["topic"][topic][name]["value"]
    if now == size:
        return []
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: size})])
    return [f"{name} of {topic} is {size} now, it was {now}"]


def _launch(settings: Settings, say: Say) -> Launch:
    jars = ensure(BROKER, say)
    data = settings.place("kafka")
    properties, logging = settings.run_dir / "kafka.properties", settings.run_dir / "kafka-log4j.properties"
    text = _PROPERTIES.format(broker=settings.kafka, controller=settings.kafka_controller, data=data)
    write_if_changed(properties, text)
    write_if_changed(logging, _LOGGING)
    command = [java(), "-cp", f"{jars}/*", f"-Dlog4j.configuration=file:{logging}"]
    if not (data / "meta.properties").exists():
        _format([*command, "kafka.tools.StorageTool"], properties)
    heap = [f"-Xms{settings.kafka_heap}", f"-Xmx{settings.kafka_heap}"]
    return Launch([*command, *heap, "kafka.Kafka", str(properties)])


def _format(tool: list[str], properties: Path) -> None:
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    done = subprocess.run(
        [*tool, "format", "--ignore-formatted", f"--cluster-id={cluster}", "--config", str(properties)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"Kafka's data folder could not be made: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
        raise StackError(message)


def _check(settings: Settings) -> str:
    try:
        # The client below waits longer with each refusal; a bare connection tells at once.
        socket.create_connection((settings.kafka.host, settings.kafka.port), timeout=1).close()
        admin = KafkaAdminClient(
            bootstrap_servers=str(settings.kafka),
            client_id="local-stack",
            bootstrap_timeout_ms=2000,
            request_timeout_ms=2000,
        )
    except (KafkaError, OSError) as error:
        raise NotReadyError(str(error)) from None
    try:
        topics = [name for name in admin.list_topics() if not name.startswith("__")]
    except (KafkaError, OSError) as error:
        raise NotReadyError(str(error)) from None
    finally:
        admin.close()
    return f"{len(topics)} topics"
