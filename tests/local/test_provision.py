"""Topics are made in a broker that asks for TLS and a login, as in the stack's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import kafka
from local import settings as configuration
from local.settings import StackError
from tests.integration.test_secure_kafka import PASSWORD, USER, SecureBroker

pytestmark = pytest.mark.integration


def test_topics_of_a_broker_that_asks_for_a_login(tmp_path: Path) -> None:
    with SecureBroker(tmp_path) as broker:
        given = {
            **broker.settings.environment,
            "KAFKA_BOOTSTRAP_SERVERS": broker.servers,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_SSL_CA_LOCATION": str(broker.authority),
            "TOPIC_POSTS": "new",
        }
        assert kafka.provision(configuration.load(given, anywhere=True)) == ["created new"]
        with pytest.raises(StackError, match="KAFKA_BOOTSTRAP_SERVERS"):
            kafka.provision(configuration.load({**given, "KAFKA_SASL_PASSWORD": "wrong"}, anywhere=True))
