"""Logging in to Kafka."""

from __future__ import annotations

from confluent_kafka import Consumer

from transforms.sources.security import SETTINGS, security_settings


def test_nothing_given_is_a_plain_connection():
    assert security_settings({"KAFKA_BOOTSTRAP_SERVERS": "x:1", "KAFKA_SASL_PASSWORD": ""}) == {}


def test_librdkafka_knows_what_is_given():
    given = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_USERNAME": "reader",
        "KAFKA_SASL_PASSWORD": "secret",
    }
    settings = security_settings(given)
    assert set(settings) == {SETTINGS[name] for name in given}
    Consumer({"bootstrap.servers": "127.0.0.1:1", "group.id": "g", **settings}).close()
