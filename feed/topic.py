"""The Kafka topic that posts are sent to."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.codec import has_gzip, has_lz4, has_zstd
from kafka.errors import BrokerResponseError, InvalidTimestampError, KafkaError, TopicAlreadyExistsError

from transforms.sources.security import kafka_python_settings

PARTITIONS = 2
COMPRESSIONS = ("auto", "none", "lz4", "zstd", "gzip")
PATIENCE_SECONDS = 600.0
"""How long a record may wait for the broker, for instance while that restarts."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_CONNECT_MS = 8_000
_REQUEST_MS = 15_000
_WAIT_SLICE = 0.2
# The client has no bound of its own on what waits to be sent.
_MAX_WAITING_BYTES = 48 << 20
_RECORDS_PER_SWEEP = 256


class BrokerError(Exception):
    """Kafka cannot be reached or does not take the posts; the message says what to do."""


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """Where to send to.

    Attributes:
        servers: ``KAFKA_BOOTSTRAP_SERVERS``.
        name: the topic.
        partitions: of the topic, if it has to be created.
        compression: of batches, one of ``COMPRESSIONS``; ``auto`` is the first of lz4 and zstd that is installed.
    """

    servers: str
    name: str
    partitions: int = PARTITIONS
    compression: str = "auto"

    def __post_init__(self) -> None:
        if self.partitions < 1:
            msg = f"partitions must be at least 1, not {self.partitions}"
            raise ValueError(msg)
        if not _NAME.fullmatch(self.name):
            msg = f"topic must be of letters, digits, '.', '_' and '-', not {self.name!r}"
            raise ValueError(msg)


@dataclass(slots=True)
class _Waiting:
    """Records that are queued or under way, in the order of sending, with their sizes."""

    records: deque[tuple[Any, int]] = field(default_factory=deque)
    bytes: int = 0


class _Producer(KafkaProducer):  # type: ignore[misc]
    """A producer that can be given up: its own ``close`` first flushes, and raises if the broker is away."""

    given_up = False

    def flush(self, timeout: float | None = None) -> None:
        if not self.given_up:
            super().flush(timeout)


class Topic:
    """Sends records to a topic, idempotently and in batches; use it as a context manager.

    A missing topic is created, without retention: event times are the records' timestamps, so a broker that deletes
    by age would delete a replay of old posts as soon as it comes.

    TLS and login are as the environment says: see ``transforms.sources.security``.

    Args:
        config: where to send to.
        idle: called several times a second while the broker lets us wait.

    Raises:
        BrokerError: no broker answers, or it refuses.

    Attributes:
        delivered: records that the broker has acknowledged.
        retention_ms: age at which the topic's records are deleted, -1 for never, ``None`` if it is not known.
        broker_times: whether the topic puts the broker's time over the records' own.
    """

    def __init__(self, config: TopicConfig, idle: Callable[[], None] = lambda: None) -> None:
        self.delivered = 0
        self.retention_ms: int | None = None
        self.broker_times = False
        self._config = config
        self._idle = idle
        self._waiting = _Waiting()
        self._sent = 0
        self._failed: BaseException | None = None
        codec = choose_compression(config.compression)
        try:
            self._create()
            self._producer: Any = _Producer(
                bootstrap_servers=config.servers.split(","),
                client_id="tiktok-feed",
                enable_idempotence=True,
                compression_type=codec,
                linger_ms=50,
                batch_size=512 * 1024,
                max_request_size=4 * 1024 * 1024,
                bootstrap_timeout_ms=_CONNECT_MS,
                request_timeout_ms=_REQUEST_MS,
                delivery_timeout_ms=int(PATIENCE_SECONDS * 1000),
                reconnect_backoff_max_ms=1_000,
                metrics_enabled=False,
                **kafka_python_settings(os.environ),
            )
        except BrokerResponseError as error:
            msg = f"Kafka at {config.servers} refuses the topic {config.name} ({type(error).__name__})"
            raise BrokerError(msg) from None
        except (KafkaError, OSError, ValueError) as error:
            msg = (
                f"no Kafka broker answers at {config.servers} ({_short(error)}): "
                "start one with `make up`, or set KAFKA_BOOTSTRAP_SERVERS"
            )
            raise BrokerError(msg) from None

    @property
    def undelivered(self) -> int:
        """Records that were sent and are not acknowledged, or were refused."""
        return self._sent - self.delivered

    def make_room(self) -> None:
        """Wait while too much is under way; may be interrupted.

        Raises:
            BrokerError: a record was refused.
        """
        waiting = self._waiting
        if self._sent % _RECORDS_PER_SWEEP == 0 or waiting.bytes > _MAX_WAITING_BYTES:
            self._sweep()
            while waiting.bytes > _MAX_WAITING_BYTES:
                self._wait_for(waiting.records[0][0], _WAIT_SLICE)
                self._sweep()

    def send(self, value: bytes, key: bytes | None, timestamp_ms: int) -> None:
        """Queue a record; ``make_room`` comes before.

        Raises:
            BrokerError: the record cannot be queued.
        """
        try:
            future = self._producer.send(self._config.name, value, key, timestamp_ms=timestamp_ms)
        except KafkaError as error:
            raise self._refused(error) from None
        self._sent += 1
        self._waiting.records.append((future, len(value)))
        self._waiting.bytes += len(value)

    def flush(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until all queued records are acknowledged; may be interrupted.

        Raises:
            BrokerError: some are not, or not in time.
        """
        deadline = time.monotonic() + seconds
        while self._waiting.records:
            left = deadline - time.monotonic()
            if left <= 0:
                msg = f"Kafka at {self._config.servers} has not acknowledged all posts within {seconds:.0f} s"
                raise BrokerError(msg)
            with suppress(KafkaError):  # it only says that the time is over
                self._producer.flush(timeout=min(left, _WAIT_SLICE))
            self._idle()
            self._sweep()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._producer.given_up = True  # what should be safe has been flushed
        self._producer.close(timeout=0)

    def _create(self) -> None:
        name = self._config.name
        admin: Any = KafkaAdminClient(
            bootstrap_servers=self._config.servers.split(","),
            bootstrap_timeout_ms=_CONNECT_MS,
            **kafka_python_settings(os.environ),
        )
        try:
            if name not in admin.list_topics():
                options = {"num_partitions": self._config.partitions, "configs": {"retention.ms": "-1"}}
                with suppress(TopicAlreadyExistsError):  # another producer was first
                    admin.create_topics({name: options}, wait_for_metadata=True)
            resource = ConfigResource(ConfigResourceType.TOPIC, name)
            found = admin.describe_configs([resource], config_filter="all")["topic"][name]
            self.retention_ms = int(found["retention.ms"]["value"])
            self.broker_times = found["message.timestamp.type"]["value"] == "LogAppendTime"
        finally:
            admin.close()

    def _sweep(self) -> None:
        """Take note of what is acknowledged, as far as all before it is."""
        waiting = self._waiting
        records = waiting.records
        while records and records[0][0].is_done:
            future, size = records.popleft()
            waiting.bytes -= size
            if future.exception is None:
                self.delivered += 1
            else:
                self._failed = self._failed or future.exception
        if self._failed is not None:
            self.delivered += sum(future.is_done and future.exception is None for future, _ in records)
            records.clear()
            raise self._refused(self._failed)

    def _wait_for(self, future: Any, seconds: float) -> None:
        with suppress(KafkaError):  # of the record, which the sweep sees; or the time is over
            future.get(timeout=seconds)
        self._idle()

    def _refused(self, error: BaseException) -> BrokerError:
        if isinstance(error, InvalidTimestampError):
            return BrokerError(
                f"the topic {self._config.name} refuses the posts' timestamps: they lie too far in the future; "
                "use --time now or an earlier --shift_to"
            )
        return BrokerError(
            f"Kafka at {self._config.servers} did not take posts for the topic {self._config.name} ({_short(error)}): "
            "see `make status` and KAFKA_BOOTSTRAP_SERVERS"
        )


def choose_compression(name: str) -> str | None:
    """Return the codec's name for the client, ``None`` for none.

    Raises:
        BrokerError: it is unknown or its library is not installed.
    """
    available = {"lz4": has_lz4(), "zstd": has_zstd(), "gzip": has_gzip()}
    if name == "auto":
        return next((codec for codec, there in available.items() if there), None)
    if name == "none":
        return None
    if not available.get(name):
        there = ", ".join(codec for codec, there in available.items() if there)
        msg = f"compression {name} is not available; choose one of: auto, none, {there}"
        raise BrokerError(msg)
    return name


def _short(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    name = type(error).__name__
    return f"{name}: {text.removeprefix(name + ': ')}" if text else name
