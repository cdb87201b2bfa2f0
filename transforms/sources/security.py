"""How to log in to Kafka: TLS and SASL settings from the environment alone, for some are secret.

Three clients are used. Of the sources, librdkafka reads in the Python workers and Kafka's own, in Java, in Flink. kafka-python
sends dead letters, outliers and the feed's posts, and asks before a submission. The same variables serve all three.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

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

_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def librdkafka_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return librdkafka's settings that are given; an empty variable counts as not set."""
    return {setting: environment[name] for name, (setting, _) in SETTINGS.items() if environment.get(name)}


def kafka_python_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return kafka-python's arguments that are given; an empty variable counts as not set."""
    return {argument: environment[name] for name, (_, argument) in SETTINGS.items() if environment.get(name)}


def java_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of Kafka's Java client that are given; an empty variable counts as not set.

    They become part of a job's graph, which is no place for secrets. So login and key are only named: the client looks them up
    where it runs, by the providers of Kafka's KIP-297, in variables and files of the same names as here.

    Raises:
        ValueError: what is given cannot be said to that client; the message names the variable.
    """
    given = {name: environment[name] for name in SETTINGS if environment.get(name)}
    protocol = given.get("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT").upper()
    if protocol == "PLAINTEXT":
        return {}
    settings = {
        "security.protocol": protocol,
        "config.providers": "env,dir",
        "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
        "config.providers.dir.class": "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
    }
    if protocol.startswith("SASL_"):
        settings |= _login(given)
    if protocol.endswith("SSL"):
        settings |= _certificates(given)
    return settings


def _login(given: Mapping[str, str]) -> dict[str, str]:
    mechanism = given.get("KAFKA_SASL_MECHANISM", "").upper()
    if mechanism not in _LOGIN_MODULES:
        msg = f"KAFKA_SASL_MECHANISM={mechanism}: expected {', '.join(_LOGIN_MODULES)}"
        raise ValueError(msg)
    for name in ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"):
        if re.search(r'["\\\n]', given.get(name, "")):  # it would end or change the quoted word below
            msg = f"{name} holds a double quote, a backslash or a line break, which Kafka's Java client cannot be told"
            raise ValueError(msg)
    return {
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": f"{_LOGIN_MODULES[mechanism]} required "
        'username="${env:KAFKA_SASL_USERNAME}" password="${env:KAFKA_SASL_PASSWORD}";',
    }


def _certificates(given: Mapping[str, str]) -> dict[str, str]:
    if "KAFKA_SSL_KEY_PASSWORD" in given:
        msg = "KAFKA_SSL_KEY_PASSWORD: Kafka's Java client cannot decrypt what OpenSSL encrypts (PBES2): give it a key without a password"
        raise ValueError(msg)
    settings: dict[str, str] = {}
    if authority := given.get("KAFKA_SSL_CA_LOCATION"):
        settings |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": authority}
    if certificate := given.get("KAFKA_SSL_CERTIFICATE_LOCATION"):
        settings |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": _content(certificate),
            "ssl.keystore.key": _content(given.get("KAFKA_SSL_KEY_LOCATION", certificate)),
        }
    return settings


def _content(location: str) -> str:
    """The reference to a file's content."""
    path = Path(location)
    return f"${{dir:{path.parent}:{path.name}}}"
