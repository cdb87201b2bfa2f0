"""Settings: where they come from, what is refused, and that secrets stay private."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from local import settings as configuration
from local import stack, storage
from local.settings import ROOT, S3_KEYS, SECRETS, StackError
from local.stack import free_port_environment


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **free_port_environment(tmp_path / "stack")}


def test_the_environment_wins_and_reaches_the_parts(env: dict[str, str], tmp_path: Path) -> None:
    settings = configuration.load({**env, "TOPIC_POSTS": "other"})
    assert settings.topic_posts == settings.environment["TOPIC_POSTS"] == "other"
    assert settings.stack_dir == tmp_path / "stack"
    assert env["AWS_ENDPOINT_URL_S3"] == f"http://{settings.s3}"
    assert settings.writer.password == env["PGPASSWORD"]


@pytest.fixture
def no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The project without ``.env``."""
    (tmp_path / ".env.example").write_bytes((ROOT / ".env.example").read_bytes())
    monkeypatch.setattr(configuration, "ROOT", tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "broker.example:9092"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1"),
        ("FLINK_MASTER", "127.0.0.1:70000"),
        ("FLINK_SLOTS", "0"),
        ("FLINK_TM_MEMORY", "lots"),
        ("PGPORT", "-1"),
        ("LAKE", "/tmp/lake"),
        ("PGPASSWORD", "<random>"),
    ],
)
def test_a_setting_that_cannot_be_is_named(env: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(StackError) as refusal:
        configuration.load({**env, name: value})
    message = str(refusal.value)
    assert name in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("listens", "reached"),
    [
        ("localhost:8050", "127.0.0.1:8050"),
        ("0.0.0.0:8050", "127.0.0.1:8050"),
        ("[::]:8050", "127.0.0.1:8050"),
        ("10.0.0.5:8050", "10.0.0.5:8050"),
        ("[::1]:8050", "[::1]:8050"),
    ],
)
def test_the_dashboard_is_reached_where_it_listens(env: dict[str, str], listens: str, reached: str) -> None:
    assert str(configuration.load({**env, "DASHBOARD_ADDRESS": listens}).dashboard) == reached


def test_env_file_is_private_complete_and_kept(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    assert configuration.write_env_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = configuration._read(path)
    secrets = [values[name] for name in SECRETS]
    assert len(set(secrets)) == len(SECRETS)
    assert all(len(secret) >= 32 for secret in secrets)
    text = path.read_text(encoding="utf-8")
    assert not configuration.write_env_file(path)
    assert path.read_text(encoding="utf-8") == text


def test_secrets_that_an_older_env_file_lacks_are_added(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("PGPASSWORD=mine\nAWS_ENDPOINT_URL_S3=http://localhost:9000\n")
    assert configuration.write_env_file(path)
    written = dotenv_values(path)
    assert written["PGPASSWORD"] == "mine"
    assert all(len(written[name] or "") == 32 for name in configuration.SECRETS if name != "PGPASSWORD")
    assert not configuration.write_env_file(path)


@pytest.mark.parametrize("endpoint", ["", "AWS_ENDPOINT_URL_S3=https://s3.eu-central-1.amazonaws.com\n"])
def test_keys_of_another_s3_are_not_invented(tmp_path: Path, endpoint: str) -> None:
    path = tmp_path / ".env"
    path.write_text(endpoint)
    configuration.write_env_file(path)
    written = dotenv_values(path)
    assert written["PGPASSWORD"]
    assert not set(S3_KEYS) & set(written)


def _without_s3(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if not name.startswith("AWS_")}


def test_on_aws_the_stack_has_no_s3_and_gives_the_pipelines_no_endpoint(env: dict[str, str], no_file: None) -> None:
    settings = configuration.load(_without_s3(env))
    assert "s3" not in [part.name for part in stack.describe(settings)]
    assert not {"AWS_ENDPOINT_URL_S3", *S3_KEYS} & set(settings.environment)


def test_the_local_s3_wants_its_keys(env: dict[str, str], no_file: None) -> None:
    del env["AWS_SECRET_ACCESS_KEY"]
    with pytest.raises(StackError, match="AWS_SECRET_ACCESS_KEY is not set"):
        configuration.load(env)


@pytest.mark.parametrize("endpoint", ["https://s3.eu-central-1.amazonaws.com", "https://minio.example:9000", None])
def test_the_bucket_is_made_where_the_endpoint_says(
    env: dict[str, str], endpoint: str | None, no_file: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)  # a test of a program leaves what the program has loaded
    given = _without_s3(env) | ({"AWS_ENDPOINT_URL_S3": endpoint} if endpoint else {})
    settings = configuration.load({**given, "AWS_DEFAULT_REGION": "eu-central-1"}, anywhere=True)
    assert storage._client(settings).meta.endpoint_url == (endpoint or "https://s3.eu-central-1.amazonaws.com")


def test_to_stop_and_delete_needs_no_secrets(env: dict[str, str], no_file: None) -> None:
    bare = {name: value for name, value in env.items() if name not in SECRETS}
    with pytest.raises(StackError, match="PGPASSWORD is not set"):
        configuration.load(bare)
    assert not stack.down(configuration.load(bare, bare=True))


def test_a_login_does_not_print_its_password(env: dict[str, str]) -> None:
    settings = configuration.load(env)
    assert env["PGADMIN_PASSWORD"] not in repr(settings.admin)
