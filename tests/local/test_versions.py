"""Versions that two files must agree on."""

from __future__ import annotations

import tomllib
import xml.etree.ElementTree as ET

from local import jars
from local.settings import ROOT

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_REQUIREMENTS = [*_PROJECT["dependencies"], *_PROJECT["optional-dependencies"]["stack"]]
_PINS = dict(text.split("==") for text in _REQUIREMENTS if "==" in text)


def _properties(folder: str) -> dict[str, str]:
    properties = ET.parse(ROOT / folder / "pom.xml").getroot().find("{*}properties")
    assert properties is not None
    return {entry.tag.rpartition("}")[2]: entry.text or "" for entry in properties}


def test_beam_is_the_same_on_both_sides() -> None:
    assert _properties("flink-conf/job-server")["beam.version"] == _PINS["apache-beam[aws]"]


def test_flink_is_the_clusters() -> None:
    properties = _properties("flink-conf/job-server")
    assert properties["flink.version"] == _PINS["apache-flink-libraries"]
    assert properties["flink.version"].startswith(properties["flink.minor"] + ".")


def test_kafkas_client_is_the_brokers() -> None:
    broker = _properties(str(jars.BROKER.relative_to(ROOT)))
    assert broker["kafka.version"] == _properties("flink-conf/job-server")["kafka.version"]
