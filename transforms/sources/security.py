"""How to log in to Kafka: TLS and SASL settings from the environment alone, for some are secret.

Two clients are used: librdkafka reads in the Python workers; kafka-python sends dead letters, outliers and the feed's posts,
and asks before a submission. The same variables serve both.
"""

from __future__ import annotations

from collections.abc import Mapping

SETTINGS = {
    "KAFKA_SECURITY_PROTOCOL": ("security.protocol", "security_protocol"),
    "KAFKA_SASL_MECHANISM": ("sasl.mechanism", "sasl_mechanism"),
    "KAFKA_SASL_USERNAME": ("sasl.username", "sasl_plain_username"),
    "KAFKA_SASL_PASSWORD": ("sasl.password", "sasl_plain_password"),
    "KAFKA_SSL_CA_LOCATION": ("ssl.ca.location", "ssl_cafile"),
    "KAFKA_SSL_CERTIFICATE_LOCATION": ("ssl.certificate.location", "ssl_certfile"),
    "KAFKA_SSL_KEY_LOCATION": ("ssl.key.location", "ssl_keyfile"),
    "KAFKA_SSL_KEY_PASSWORD": ("ssl.key.password", "ssl_password"),
}
"""Environment variable → setting of librdkafka, of kafka-python; what is not set keeps the client's default: no TLS."""


def librdkafka_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return librdkafka's settings that are given; an empty variable counts as not set."""
    return {setting: environment[name] for name, (setting, _) in SETTINGS.items() if environment.get(name)}


def kafka_python_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return kafka-python's arguments that are given; an empty variable counts as not set."""
    return {argument: environment[name] for name, (_, argument) in SETTINGS.items() if environment.get(name)}
