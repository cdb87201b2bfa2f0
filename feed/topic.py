"""The Kafka topic that posts are sent to."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.codec import has_gzip, has_lz4, has_zstd
from kafka.errors import InvalidTimestampError, KafkaError, TopicAlreadyExistsError

PARTITIONS = 2
COMPRESSIONS = ("auto", "none", "lz4", "zstd", "gzip")

_CONNECT_MS = 8_000
_FLUSH_SECONDS = 60.0
# The client has no bound of its own on what waits to be sent: 16 marks of 1,000 posts are some 50 MB.
_POSTS_PER_MARK = 1_000
_OPEN_MARKS = 16


class BrokerError(Exception):
    """Kafka cannot be reached or does not take the posts; the message says what to do."""


class Topic:
    """Sends records to a topic, idempotently and in batches; use it as a context manager.

    Args:
        servers: ``KAFKA_BOOTSTRAP_SERVERS``.
        name: the topic; created with two partitions and without retention if it is missing.
        compression: one of ``COMPRESSIONS``; ``auto`` is the first of lz4 and zstd that is installed.

    Raises:
        BrokerError: no broker answers, or it refuses.
    """

    def __init__(self, servers: str, name: str, compression: str = "auto") -> None:
        self.name = name
        self._servers = servers
        self._marks: deque[Any] = deque()
        self._sent = 0
        self._error: BaseException | None = None
        codec = choose_compression(compression)
        try:
            self._create()
            self._producer: Any = KafkaProducer(
                bootstrap_servers=servers.split(","),
                client_id="tiktok-feed",
                enable_idempotence=True,
                compression_type=codec,
                linger_ms=50,
                batch_size=512 * 1024,
                max_request_size=4 * 1024 * 1024,
                bootstrap_timeout_ms=_CONNECT_MS,
            )
        except (KafkaError, OSError, ValueError) as error:
            msg = (
                f"no Kafka broker answers at {servers} ({_short(error)}): "
                "start one with `make up`, or set KAFKA_BOOTSTRAP_SERVERS"
            )
            raise BrokerError(msg) from None

    def send(self, value: bytes, key: bytes | None, timestamp_ms: int) -> None:
        """Queue a record; blocks while too many wait.

        Raises:
            BrokerError: an earlier record was refused, or this one cannot be queued.
        """
        if self._error is not None:
            raise self._refused(self._error)
        try:
            future = self._producer.send(self.name, value, key, timestamp_ms=timestamp_ms)
        except KafkaError as error:
            raise self._refused(error) from None
        future.add_errback(self._failed)
        self._sent += 1
        if self._sent % _POSTS_PER_MARK == 0:
            self._marks.append(future)
            if len(self._marks) > _OPEN_MARKS:
                try:
                    self._marks.popleft().get(timeout=_FLUSH_SECONDS)
                except KafkaError as error:
                    raise self._refused(error) from None

    def flush(self) -> None:
        """Wait until all queued records are acknowledged.

        Raises:
            BrokerError: some are not.
        """
        try:
            self._producer.flush(timeout=_FLUSH_SECONDS)
        except KafkaError as error:
            raise self._refused(error) from None
        if self._error is not None:
            raise self._refused(self._error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._producer.close(timeout=0 if kind else _FLUSH_SECONDS)

    def _create(self) -> None:
        admin: Any = KafkaAdminClient(bootstrap_servers=self._servers.split(","), bootstrap_timeout_ms=_CONNECT_MS)
        try:
            if self.name in admin.list_topics():
                return
            # Event times are the records' timestamps: with retention, the broker would delete a replay of old posts.
            options = {"num_partitions": PARTITIONS, "configs": {"retention.ms": "-1"}}
            with suppress(TopicAlreadyExistsError):  # another producer was first
                admin.create_topics({self.name: options}, wait_for_metadata=True)
        finally:
            admin.close()

    def _failed(self, error: BaseException) -> None:
        self._error = self._error or error

    def _refused(self, error: BaseException) -> BrokerError:
        if isinstance(error, InvalidTimestampError):
            return BrokerError(
                f"the topic {self.name} refuses the posts' timestamps: they lie too far in the future; "
                "use --time now or an earlier --shift_to"
            )
        return BrokerError(
            f"Kafka at {self._servers} did not take posts for the topic {self.name} ({_short(error)}): "
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
