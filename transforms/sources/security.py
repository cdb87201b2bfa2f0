"""How to log in to Kafka with librdkafka: TLS and SASL settings from the environment alone, for some are secret."""

from __future__ import annotations

from collections.abc import Mapping

SETTINGS = {
    "KAFKA_SECURITY_PROTOCOL": "security.protocol",
    "KAFKA_SASL_MECHANISM": "sasl.mechanism",
    "KAFKA_SASL_USERNAME": "sasl.username",
    "KAFKA_SASL_PASSWORD": "sasl.password",
    "KAFKA_SSL_CA_LOCATION": "ssl.ca.location",
    "KAFKA_SSL_CERTIFICATE_LOCATION": "ssl.certificate.location",
    "KAFKA_SSL_KEY_LOCATION": "ssl.key.location",
    "KAFKA_SSL_KEY_PASSWORD": "ssl.key.password",
}
"""Environment variable → librdkafka's setting; what is not set keeps librdkafka's default (a plain connection)."""


def security_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are given; an empty variable counts as not set."""
    return {setting: environment[name] for name, setting in SETTINGS.items() if environment.get(name)}
