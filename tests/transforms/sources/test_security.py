"""Logging in to Kafka."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer
from kafka import KafkaProducer

from transforms.sources.security import SETTINGS, java_settings, kafka_python_settings, librdkafka_settings

LOGIN = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "reader",
    "KAFKA_SASL_PASSWORD": "secret",
}


def test_nothing_given_is_a_plain_connection():
    given = {"KAFKA_BOOTSTRAP_SERVERS": "x:1", "KAFKA_SASL_PASSWORD": ""}
    assert librdkafka_settings(given) == kafka_python_settings(given) == java_settings(given) == {}


def test_librdkafka_knows_what_is_given():
    settings = librdkafka_settings(LOGIN)
    assert sorted(settings.values()) == sorted(LOGIN.values())
    Consumer({"bootstrap.servers": "127.0.0.1:1", "group.id": "g", **settings}).close()


def test_kafka_python_knows_every_setting():
    assert {argument for _, argument in SETTINGS.values()} <= KafkaProducer.DEFAULT_CONFIG.keys()
    assert kafka_python_settings(LOGIN) == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "reader",
        "sasl_plain_password": "secret",
    }


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM=GSSAPI"),
        ({"KAFKA_SASL_MECHANISM": ""}, "KAFKA_SASL_MECHANISM="),
        ({"KAFKA_SASL_PASSWORD": 'x" evil="y'}, "KAFKA_SASL_PASSWORD"),
        ({"KAFKA_SASL_USERNAME": "domain\\user"}, "KAFKA_SASL_USERNAME"),
        ({"KAFKA_SSL_KEY_PASSWORD": "hush"}, "KAFKA_SSL_KEY_PASSWORD"),
    ],
)
def test_what_the_java_client_cannot_be_told_is_refused(given: dict[str, str], names: str):
    with pytest.raises(ValueError, match=names):
        java_settings({**LOGIN, **given})


def test_no_secret_is_among_the_settings_of_a_graph():
    key = {"KAFKA_SSL_CERTIFICATE_LOCATION": "/keys/client.pem", "KAFKA_SSL_KEY_LOCATION": "/keys/client.key"}
    settings = java_settings({**LOGIN, **key})
    assert settings["ssl.keystore.key"] == "${dir:/keys:client.key}"
    assert not [value for value in settings.values() if "reader" in value or "secret" in value]
