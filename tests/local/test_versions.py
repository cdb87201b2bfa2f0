"""Versions that two files must agree on."""

from __future__ import annotations

import re
import tomllib
import xml.etree.ElementTree as ET

import pytest

from local import jars
from local.settings import ROOT

_SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_PROJECT = _SETTINGS["project"]
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


def test_airflows_beam_is_the_pipelines() -> None:
    assert f"apache-beam=={_PINS['apache-beam[aws]']}" in _SETTINGS["dependency-groups"]["airflow"]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-airflow.lock"])
def test_locks_have_hashes_and_name_no_index(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    packages = re.findall(r"(?m)^[a-z0-9].*?==\S+( \\)?$", text)
    assert len(packages) > 50
    assert all(packages)  # each goes on with its hashes
    assert "://" not in text
