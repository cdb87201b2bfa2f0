"""A broker that asks for TLS, and a login or a certificate: whatever talks to Kafka gets in, or says why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
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
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from beam_pipelines import preflight
from feed.topic import BrokerError, Topic, TopicConfig
from local import accounting, kafka
from local.jars import BROKER, folder
from local.part import Launch, Part, Say, java
from local.ports import free_ports
from local.settings import ROOT, Settings
from programs.errors import UserError
from tests.feed.servers import Server
from transforms.dead_letters import DeadLetter, Reason
from transforms.sinks import _WriteToTopicFn
from transforms.sources.consumer import TopicReader, TopicSettings
from transforms.sources.security import SETTINGS, java_settings

pytestmark = pytest.mark.integration

USER, PASSWORD = "stream", "correct horse"
KEY_PASSWORD = "battery staple"
TOPICS = ("posts", "outliers", "dead")
PATIENCE_SECONDS = 120

_SECURE = """
listeners=PLAINTEXT://{plain},CONTROLLER://{controller},SECURE://{secure},MUTUAL://{mutual}
advertised.listeners=PLAINTEXT://{plain},SECURE://{secure},MUTUAL://{mutual}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL
listener.name.mutual.ssl.keystore.type=PEM
listener.name.mutual.ssl.keystore.location={pem}
listener.name.mutual.ssl.truststore.type=PEM
listener.name.mutual.ssl.truststore.location={authority}
listener.name.mutual.ssl.client.auth=required
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={pem}
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


def _key(certificate: trustme.LeafCert, encryption: KeySerializationEncryption) -> bytes:
    """Its key in PKCS#8: Kafka reads nothing else."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _chain(certificate: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


class SecureBroker(Server):
    """Kafka with two more listeners: one takes logins over TLS alone, one asks for a client's certificate."""

    def __init__(self, folder: Path) -> None:
        self.servers, self.mutual = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.authority = folder / "authority.pem"
        self.certificate, self.key, self.encrypted_key = (
            folder / name for name in ("client.pem", "client.key", "encrypted.key")
        )
        self._pem = folder / "broker.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        own, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("client")
        self._pem.write_bytes(_key(own, NoEncryption()) + _chain(own))
        self.certificate.write_bytes(_chain(client))
        self.key.write_bytes(_key(client, NoEncryption()))
        self.encrypted_key.write_bytes(_key(client, BestAvailableEncryption(KEY_PASSWORD.encode())))
        super().__init__(folder, self._secure_part)

    def _secure_part(self, settings: Settings) -> Part:
        part = kafka.part(settings)
        plain_launch = part.launch

        def launch(say: Say) -> Launch:
            launched = plain_launch(say)
            secure = _SECURE.format(
                plain=settings.kafka,
                controller=settings.kafka_controller,
                secure=self.servers,
                mutual=self.mutual,
                pem=self._pem,
                authority=self.authority,
            )
            with Path(launched.command[-1]).open("a", encoding="utf-8") as properties:
                properties.write(secure)  # of two values of one property the last holds
            return launched

        return replace(part, launch=launch)

    def __enter__(self) -> SecureBroker:
        super().__enter__()
        admin = AdminClient({"bootstrap.servers": str(self.settings.kafka)})
        for created in admin.create_topics(
            [NewTopic(name, 1, 1) for name in (*TOPICS, "certified", "streamed")]
        ).values():
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


@pytest.fixture
def certified(broker: SecureBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("KAFKA_SSL_CA_LOCATION", str(broker.authority))
    monkeypatch.setenv("KAFKA_SSL_CERTIFICATE_LOCATION", str(broker.certificate))
    monkeypatch.setenv("KAFKA_SSL_KEY_LOCATION", str(broker.key))


def read(servers: str, topic: str) -> list[bytes]:
    reader = TopicReader(TopicSettings(servers, topic, "group"), owns=lambda _: True)
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


def read_in_java(servers: str, topic: str, settings: Path) -> subprocess.CompletedProcess[str]:
    """Kafka's own client with the settings that a graph holds, and its secrets in the environment."""
    given = java_settings(os.environ) | {"auto.offset.reset": "earliest", "enable.auto.commit": "false"}
    settings.write_text("".join(f"{name}={value}\n" for name, value in given.items()), encoding="utf-8")
    command = [java(), "-cp", f"{folder(BROKER)}/*", "org.apache.kafka.tools.consumer.ConsoleConsumer"]
    options = ["--bootstrap-server", servers, "--topic", topic, "--consumer.config", str(settings)]
    limits = ["--max-messages", "1", "--timeout-ms", "20000"]
    return subprocess.run([*command, *options, *limits], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.usefixtures("login")
def test_what_the_feed_sends_both_readers_read(broker: SecureBroker, tmp_path: Path):
    with Topic(TopicConfig(broker.servers, "posts")) as topic:
        topic.send(b"one", None, 1_700_000_000_000)
        topic.flush(30)
    assert read(broker.servers, "posts") == [b"one"]
    done = read_in_java(broker.servers, "posts", tmp_path / "client.properties")
    assert done.stdout == "one\n", done.stderr


@pytest.mark.usefixtures("certified")
def test_a_certificate_lets_all_in(broker: SecureBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Topic(TopicConfig(broker.mutual, "certified")) as topic:
        topic.send(b"one", None, 1_700_000_000_000)
        topic.flush(30)
    done = read_in_java(broker.mutual, "certified", tmp_path / "client.properties")
    assert done.stdout == "one\n", done.stderr
    monkeypatch.setenv("KAFKA_SSL_KEY_LOCATION", str(broker.encrypted_key))
    monkeypatch.setenv("KAFKA_SSL_KEY_PASSWORD", KEY_PASSWORD)
    preflight.check_topics(broker.mutual, ["certified"])
    assert read(broker.mutual, "certified") == [b"one"]


@pytest.mark.usefixtures("login")
def test_the_stream_reads_by_kafkaio(stack: Settings, broker: SecureBroker):
    now = datetime.now(UTC).timestamp()
    post = b'{"itemInfos":{"id":"%d","text":"dance"},"time_stamp":%d}'
    with Topic(TopicConfig(broker.servers, "streamed")) as topic:
        for number in (1, 2, 3):
            topic.send(post % (number, now), None, int(now * 1000))
        topic.flush(30)
    lake = f"{stack.environment['LAKE']}/secure"
    command = [sys.executable, "-m", "beam_pipelines.stream", "--runner=FlinkRunner", "--flink_master=[local]",
               f"--bootstrap_servers={broker.servers}", "--topic_posts=streamed", f"--lake={lake}",
               "--checkpointing_interval=1000"]  # fmt: skip
    login = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    with subprocess.Popen(
        command, cwd=ROOT, env={**stack.environment, **login}, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(list(accounting.archived(lake))) < 3 and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.5)
        finally:
            process.terminate()
            _, told = process.communicate(timeout=60)
    assert len(list(accounting.archived(lake))) >= 3, told


@pytest.mark.usefixtures("login")
def test_dead_letters_are_sent(broker: SecureBroker):
    letter = DeadLetter(next(iter(Reason)), "no post", "posts", 0, 7, 1_700_000_000_000, b"?")
    sink = _WriteToTopicFn("dead", broker.servers)
    sink.setup()
    sink.start_bundle()
    sink.process([letter])
    sink.finish_bundle()
    sink.teardown()
    assert [json.loads(value)["offset"] for value in read(broker.servers, "dead")] == [7]


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
        read(broker.servers, "posts")
