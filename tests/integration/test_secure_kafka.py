"""A broker that asks for TLS and a login: the reader, the sinks, the feed and the checks all get in, or say why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    NewTopic,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from beam_pipelines import preflight
from feed.topic import BrokerError, Topic, TopicConfig
from local import kafka
from local.part import Launch, Part, Say
from local.settings import Settings
from programs.errors import UserError
from tests.feed.servers import Server, free_port
from transforms.dead_letters import DeadLetter, Reason
from transforms.sinks import _WriteToTopicFn
from transforms.sources.consumer import TopicReader, TopicSettings

pytestmark = pytest.mark.integration

USER, PASSWORD = "stream", "correct horse"
TOPICS = ("posts", "outliers", "dead")

_SECURE = """
listeners=PLAINTEXT://{plain},CONTROLLER://{controller},SECURE://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://{plain},SECURE://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={pem}
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


class SecureBroker(Server):
    """Kafka with a second listener, which takes logins over TLS alone."""

    def __init__(self, folder: Path) -> None:
        self.servers = f"127.0.0.1:{free_port()}"
        self.authority = folder / "authority.pem"
        self._pem = folder / "broker.pem"
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(self.authority)
        # Kafka reads PKCS#8 alone.
        key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        self._pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)
        super().__init__(folder, self._secure_part)

    def _secure_part(self, settings: Settings) -> Part:
        part = kafka.part(settings)
        plain_launch = part.launch

        def launch(say: Say) -> Launch:
            launched = plain_launch(say)
            port = self.servers.rpartition(":")[2]
            secure = _SECURE.format(
                plain=settings.kafka, controller=settings.kafka_controller, port=port, pem=self._pem
            )
            with Path(launched.command[-1]).open("a", encoding="utf-8") as properties:
                properties.write(secure)  # of two values of one property the last holds
            return launched

        return replace(part, launch=launch)

    def __enter__(self) -> SecureBroker:
        super().__enter__()
        admin = AdminClient({"bootstrap.servers": str(self.settings.kafka)})
        for created in admin.create_topics([NewTopic(name, 1, 1) for name in TOPICS]).values():
            created.result(30)
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        login = UserScramCredentialUpsertion(USER, credential, PASSWORD.encode())
        admin.alter_user_scram_credentials([login])[USER].result(30)
        return self


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with SecureBroker(tmp_path_factory.mktemp("secure")) as broker:
        yield broker


@pytest.fixture
def login(broker: SecureBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", USER)
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", PASSWORD)
    monkeypatch.setenv("KAFKA_SSL_CA_LOCATION", str(broker.authority))


def read(broker: SecureBroker, topic: str) -> list[bytes]:
    reader = TopicReader(TopicSettings(broker.servers, topic, "group"), owns=lambda _: True)
    try:
        reader.resume({})
        for _ in range(10):
            if (claims := reader.find({}, started=False)) is not None:
                break
        assert claims is not None, "the broker does not answer"
        reader.take_up(claims)
        for _ in range(100):
            if batches := reader.read():
                return [value for batch in batches for value in batch.values]
        return []
    finally:
        reader.close()


@pytest.mark.usefixtures("login")
def test_what_the_feed_sends_the_reader_reads(broker: SecureBroker):
    with Topic(TopicConfig(broker.servers, "posts")) as topic:
        topic.send(b"one", None, 1_700_000_000_000)
        topic.flush(30)
    assert read(broker, "posts") == [b"one"]


@pytest.mark.usefixtures("login")
def test_dead_letters_are_sent(broker: SecureBroker):
    letter = DeadLetter(next(iter(Reason)), "no post", "posts", 0, 7, 1_700_000_000_000, b"?")
    sink = _WriteToTopicFn("dead", broker.servers)
    sink.setup()
    sink.start_bundle()
    sink.process([letter])
    sink.finish_bundle()
    sink.teardown()
    assert [json.loads(value)["offset"] for value in read(broker, "dead")] == [7]


@pytest.mark.usefixtures("login")
def test_the_check_before_a_submission_gets_in(broker: SecureBroker):
    preflight.check_topics(broker.servers, TOPICS)
    with pytest.raises(UserError, match="no topic 'other'"):
        preflight.check_topics(broker.servers, ["other"])


def test_without_a_login_nobody_gets_in(broker: SecureBroker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preflight, "BOOTSTRAP_MS", 3_000)
    with pytest.raises(UserError, match="KAFKA_SECURITY_PROTOCOL"):
        preflight.check_topics(broker.servers, TOPICS)


@pytest.mark.usefixtures("login")
def test_a_wrong_password_is_told(broker: SecureBroker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "wrong")
    with pytest.raises(BrokerError):
        Topic(TopicConfig(broker.servers, "posts"))
    with pytest.raises(KafkaException, match=r"SASL|uthentication"):
        read(broker, "posts")
