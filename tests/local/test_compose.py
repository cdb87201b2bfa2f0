"""docker-compose.yml: Compose itself accepts it, and it says the same as the embedded stack. Nothing is started."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import jars
from local.settings import ROOT, SECRETS

# The token too: among containers the dashboard listens on more than loopback, and will not without one.
GIVEN = (*SECRETS, "DASHBOARD_TOKEN")

Compose = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def compose() -> Compose:
    spec = importlib.util.find_spec("compose")
    folders = list(spec.submodule_search_locations or []) if spec else []
    binary = next((path for folder in folders if (path := Path(folder) / "docker-compose").exists()), None)
    if binary is None:
        pytest.skip("no Compose: install the extra `dev`")

    def run(*arguments: str, **secrets: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                str(binary),
                "--file",
                str(ROOT / "docker-compose.yml"),
                "--env-file",
                os.devnull,
                "--profile",
                "*",
                *arguments,
            ],
            env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **secrets},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def services(compose: Compose) -> dict[str, Any]:
    done = compose("config", "--format", "json", **dict.fromkeys(GIVEN, "secret"))
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["services"])


def test_ports_are_open_on_this_machine_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert {port["target"] for port in ports} == {9092, 5432, 9000, 8081, 8050}
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


@pytest.mark.parametrize("name", GIVEN)
def test_no_secret_has_a_default(compose: Compose, name: str) -> None:
    done = compose("config", "--quiet", **{other: "secret" for other in GIVEN if other != name})
    assert done.returncode != 0
    assert name in done.stderr
    assert "python -m local env" in done.stderr


def test_images_are_pinned(services: dict[str, Any]) -> None:
    foreign = [service["image"] for service in services.values() if "build" not in service]
    assert all(re.search(r":[\w.-]*\d[\w.-]*$", image) for image in foreign)


@pytest.mark.parametrize(
    ("name", "value"),
    [("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"), ("FLINK_MASTER", "http://127.0.0.1:8081"), ("KAFKA_PORT", "19092")],
)
def test_addresses_may_be_written_as_the_embedded_stack_takes_them(compose: Compose, name: str, value: str) -> None:
    done = compose("config", "--format", "json", **dict.fromkeys(GIVEN, "secret"), **{name: value})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["services"]
    assert {port["host_ip"] for one in found.values() for port in one.get("ports", [])} == {"127.0.0.1"}
    assert found["kafka"]["ports"][0]["published"] == ("19092" if name == "KAFKA_PORT" else "9092")


def test_workers_can_write_to_the_containers_output(services: dict[str, Any]) -> None:
    dockerfile = (ROOT / "docker" / "flink.Dockerfile").read_text(encoding="utf-8")
    assert "PYTHON_WORKER_LOG=/proc/1/fd/2" in dockerfile
    # Only who the container starts as may open it.
    assert dockerfile.rstrip().splitlines()[-1] == "USER flink"
    assert {service.get("user", "flink") for service in services.values()} == {"flink"}


def test_what_stays_up_reports_its_health(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"provision", "stream"}


def test_versions_are_the_embedded_stacks(services: dict[str, Any]) -> None:
    def version(project: Path, name: str) -> str:
        found = ET.parse(project / "pom.xml").getroot().findtext(f"{{*}}properties/{{*}}{name}")
        assert found
        return found

    assert services["kafka"]["image"].endswith(":" + version(jars.BROKER, "kafka.version"))
    dockerfile = (ROOT / "docker" / "flink.Dockerfile").read_text(encoding="utf-8")
    assert f"FLINK_VERSION={version(jars.JOB_SERVER, 'flink.version')}\n" in dockerfile


def test_the_image_is_given_each_package_of_the_project() -> None:
    dockerfile = (ROOT / "docker" / "flink.Dockerfile").read_text(encoding="utf-8")
    copied = {
        name for names in re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile, re.MULTILINE) for name in names.split()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {name.partition(".")[0] for name in project["tool"]["setuptools"]["packages"]} <= copied
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"}
    assert {name.partition("/")[0] for name in copied} <= let_in


def test_flink_is_set_up_as_in_the_embedded_stack(services: dict[str, Any]) -> None:
    text = (ROOT / "flink-conf" / "config.yaml").read_text(encoding="utf-8")
    embedded = {name: value for name, value in yaml.safe_load(text).items() if "${" not in str(value)}
    # Addresses, and what only makes sense where the task manager has a fixed name or a log on this machine.
    own = re.compile(r"jobmanager\.|.*host|rest\.|taskmanager\.resource-id|metrics\.|web\.cancel|execution\.")
    expected = {name: value for name, value in embedded.items() if not own.match(name)}
    for name in ("jobmanager", "taskmanager"):
        given = yaml.safe_load(services[name]["environment"]["FLINK_PROPERTIES"])
        assert {key: given.get(key) for key in expected} == expected


def test_the_alerts_are_given_every_setting_of_theirs(services: dict[str, Any]) -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    settings = set(re.findall(r"^(?:# )?(ALERTS_\w+|DASHBOARD_URL)=", example, re.MULTILINE))
    assert settings <= set(services["alerts"]["environment"])


@pytest.mark.parametrize("name", ["dashboard", "alerts"])
def test_who_only_reads_is_given_no_other_login(services: dict[str, Any], name: str) -> None:
    assert {"PGPASSWORD", "PGADMIN_PASSWORD", "AWS_SECRET_ACCESS_KEY"}.isdisjoint(services[name]["environment"])
    assert services[name]["user"] == "flink"


def test_workers_see_what_the_submitting_program_sees(services: dict[str, Any]) -> None:
    stream, worker = services["stream"]["environment"], dict(services["taskmanager"]["environment"])
    del worker["FLINK_PROPERTIES"]
    assert stream == worker
