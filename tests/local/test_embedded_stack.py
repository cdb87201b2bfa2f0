"""The stack as a whole: its ports, its processes, and what `up` leaves in its servers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import boto3
import psycopg2
import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from local import kafka, stack, supervisor
from local import settings as configuration
from local.part import Launch, java
from local.settings import ROOT, Settings, StackError
from local.supervisor import Process
from tests.conftest import kill


def _settings(folder: Path, **changes: str) -> Settings:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
    return configuration.load({**inherited, **stack.free_port_environment(folder), **changes})


def test_free_ports_are_distinct(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    ports = [address.port for part in stack.describe(settings) for address in part.listens]
    assert len(ports) == len(set(ports)) == 6


def test_a_port_of_somebody_else_is_one_line_that_names_its_setting(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.postgres.port))
        other.listen()
        with pytest.raises(StackError) as refusal:
            stack._require_free_ports(stack.describe(settings))
    message = str(refusal.value)
    assert "PGPORT" in message
    assert str(settings.postgres) in message
    assert "\n" not in message


def test_describing_and_asking_leave_nothing_behind(tmp_path: Path) -> None:
    settings = _settings(tmp_path / "stack")
    assert not any(report.well for report in stack.health(settings))
    assert not stack.down(settings)
    assert not settings.stack_dir.exists()


def test_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    assert supervisor._socket(Path("/short/run")) == Path("/short/run/supervisor.sock")
    deep = tmp_path / ("d" * 100)
    path = supervisor._socket(deep)
    try:
        assert len(os.fsencode(path)) < 90
        assert path.parent.stat().st_mode & 0o077 == 0
        assert supervisor._socket(deep) == path
        assert supervisor._socket(tmp_path / ("e" * 100)) != path
    finally:
        for name in ("d", "e"):
            supervisor._socket(tmp_path / (name * 100)).parent.rmdir()


def test_what_differs_between_shells_is_no_other_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stamp(**changes: str) -> str:
        for name, value in changes.items():
            monkeypatch.setenv(name, value)
        settings = _settings(tmp_path, **{**given, **changes})
        supervisor.Supervisor(settings).write(parts, stack._relevant(settings))
        return (settings.run_dir / "supervisord.sha256").read_text()

    given = stack.free_port_environment(tmp_path)
    parts = [
        (part, Launch(["/bin/sleep", "1"])) for part in stack.describe(_settings(tmp_path, **given))
    ]  # both kinds: those that inherit the environment, and those that do not
    first = stamp()
    other_shell = {
        "PATH": f"/elsewhere{os.pathsep}{os.environ['PATH']}",
        "LANG": "C",
        "HOME": "/",
        "TMPDIR": "/var/tmp",
        "AWS_PROFILE": "work",
    }
    assert stamp(**other_shell) == first
    assert "/elsewhere" in (tmp_path / "run" / "supervisord.conf").read_text()
    assert stamp(TOPIC_POSTS="other") != first


def test_an_activated_environment_is_on_the_path_once(tmp_path: Path) -> None:
    own = str(Path(sys.executable).parent)
    settings = _settings(tmp_path, PATH=os.pathsep.join(["/first", own, "/last"]))
    assert settings.worker_path == os.pathsep.join([own, "/first", "/last"])


def test_the_same_java_is_the_same_by_any_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, link = tmp_path / "jdk" / "bin" / "java", tmp_path / "bin" / "java"
    for path in (real, link):
        path.parent.mkdir(parents=True)
    real.touch(0o755)
    link.symlink_to(real)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(link.parent))
    by_path = java()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert java() == by_path == str(real)


def test_a_wrong_password_is_told_with_the_folder_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(tmp_path)
    refusal = psycopg2.OperationalError('FATAL:  password authentication failed for user "postgres"')
    monkeypatch.setattr(psycopg2, "connect", Mock(side_effect=refusal))
    database = next(part for part in stack.describe(settings) if part.name == "postgres")
    report = stack._health(database, Process("RUNNING", 1, 0.0, 0.0))
    assert not report.well
    assert str(tmp_path / "postgres") in report.answer


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert stack.tail(log) == ""
    log.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert stack.tail(log).splitlines() == [f"line {number}" for number in range(49_980, 50_000)]


def test_a_user_sees_one_line_not_a_traceback(tmp_path: Path) -> None:
    environment = {**os.environ, **stack.free_port_environment(tmp_path), "FLINK_SLOTS": "none"}
    done = subprocess.run(
        [sys.executable, "-m", "local", "up"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: FLINK_SLOTS=none")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.integration  # needs Java and the jars
def test_too_little_memory_names_its_setting(tmp_path: Path) -> None:
    settings = _settings(tmp_path, FLINK_TM_MEMORY="300m")
    worker = next(part for part in stack.describe(settings) if part.name == "taskmanager")
    with pytest.raises(StackError, match="FLINK_TM_MEMORY"):
        worker.launch(print)


@pytest.fixture(scope="module")
def running() -> Iterator[Settings]:
    # Not below pytest's own folder, which is closed to the user that Postgres runs as when the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="tiktok-stack-test-"))
    folder.chmod(0o755)
    settings = _settings(folder)
    try:
        stack.up(settings)
        yield settings
    finally:
        stack.down(settings)
        stack.discard(settings)
    assert not folder.exists()  # nothing lies in a place that is not the stack's


@pytest.mark.integration
def test_up_again_restarts_nothing(running: Settings) -> None:
    before = {
        report.part.name: report.process.pid for report in stack.health(running) if report.process and report.well
    }
    assert before.keys() == {"kafka", "jobmanager", "taskmanager", "postgres", "s3"}
    said: list[str] = []
    stack.up(running, said.append)
    assert len(said) == len(before)  # one line per part, nothing created
    assert before == {report.part.name: report.process.pid for report in stack.health(running) if report.process}


@pytest.mark.integration
def test_other_settings_want_a_restart(running: Settings) -> None:
    changed = configuration.load({**running.environment, "FLINK_SLOTS": "3"})
    with pytest.raises(StackError, match="runs with other settings"):
        stack.up(changed)


@pytest.mark.integration
def test_topics_keep_posts_of_any_age(running: Settings) -> None:
    admin = KafkaAdminClient(bootstrap_servers=str(running.kafka))
    try:
        topics = {topic["name"]: topic for topic in admin.describe_topics(["posts", "outliers", "dead"])}
        assert {name: len(topic["partitions"]) for name, topic in topics.items()} == {
            "posts": 2,
            "outliers": 1,
            "dead": 1,
        }
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name, ["retention.ms"]) for name in topics]
        configs = admin.describe_configs(wanted)["topic"]
        assert {name: config["retention.ms"]["value"] for name, config in configs.items()} == dict.fromkeys(
            topics, "-1"
        )
    finally:
        admin.close()


@pytest.mark.integration
def test_another_retention_reaches_the_topic_that_is_there(running: Settings) -> None:
    smaller = replace(running, kafka_retention_bytes=1_000_000_000)
    assert kafka.provision(smaller) == ["retention.bytes of posts is 1000000000 now, it was -1"]
    assert kafka.provision(smaller) == []
    assert kafka.provision(running) == ["retention.bytes of posts is -1 now, it was 1000000000"]


@pytest.mark.integration
def test_each_login_may_do_its_own_only(running: Settings) -> None:
    def run(user: str, password: str, statement: str) -> None:
        address = running.postgres
        connection = psycopg2.connect(
            host=address.host, port=address.port, user=user, password=password, dbname=running.database
        )
        try:
            connection.cursor().execute(statement)
        finally:
            connection.close()  # uncommitted

    writer, reader = running.writer, running.reader
    run(writer.user, writer.password, "INSERT INTO watchlist (keyword) VALUES ('a')")
    run(reader.user, reader.password, "SELECT count(*) FROM watchlist")
    refused = psycopg2.errors.InsufficientPrivilege
    with pytest.raises(refused):
        run(reader.user, reader.password, "INSERT INTO watchlist (keyword) VALUES ('a')")
    with pytest.raises(refused):
        run(writer.user, writer.password, "CREATE TABLE mine (a int)")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        run(writer.user, reader.password, "SELECT 1")


@pytest.mark.integration
def test_the_lake_takes_our_keys_only(running: Settings) -> None:
    def client(secret: str) -> object:
        env = running.environment
        return boto3.Session().client(
            "s3",
            endpoint_url=env["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret,
            region_name=env["AWS_DEFAULT_REGION"],
        )

    ours = client(running.environment["AWS_SECRET_ACCESS_KEY"])
    ours.put_object(Bucket=running.bucket, Key="raw/x", Body=b"y")  # type: ignore[attr-defined]
    assert ours.get_object(Bucket=running.bucket, Key="raw/x")["Body"].read() == b"y"  # type: ignore[attr-defined]
    with pytest.raises(ours.exceptions.ClientError):  # type: ignore[attr-defined]
        client("wrong").list_objects_v2(Bucket=running.bucket)  # type: ignore[attr-defined]


@pytest.mark.integration
def test_secrets_are_in_no_file_and_no_command_line(running: Settings) -> None:
    secrets = [running.environment[name].encode() for name in configuration.SECRETS]
    texts = [
        path.read_bytes()
        for folder in (running.run_dir, running.log_dir)
        for path in folder.rglob("*")
        if path.is_file()
    ]
    for report in stack.health(running):
        assert report.process
        texts.append(Path(f"/proc/{report.process.pid}/cmdline").read_bytes())
    assert not [secret for secret in secrets for text in texts if secret in text]


@pytest.mark.integration
def test_a_killed_task_manager_comes_back(running: Settings) -> None:
    kill(running, "taskmanager")


@pytest.mark.integration
def test_up_starts_again_what_has_given_up(running: Settings) -> None:
    supervisor.Supervisor(running)._call("stopProcess", "s3")
    said: list[str] = []
    stack.up(running, said.append)
    assert said[0] == "S3 had given up (stopped): starting it again"
    assert all(report.well for report in stack.health(running))


@pytest.mark.integration
def test_down_ends_what_it_started(running: Settings) -> None:
    pids = [report.process.pid for report in stack.health(running) if report.process]
    assert len(pids) == 5
    assert stack.down(running)
    assert not [pid for pid in pids if supervisor._alive(pid)]
    assert not stack.down(running)
