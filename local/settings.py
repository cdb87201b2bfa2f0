"""What the stack is told: addresses, sizes and secrets, from the environment and ``.env``."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "cache"

S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
SECRETS = (
    "PGPASSWORD",
    "PGREADER_PASSWORD",
    "PGALERTS_PASSWORD",
    "PGEDITOR_PASSWORD",
    "PGADMIN_PASSWORD",
    *S3_KEYS,
)
S3_ENDPOINT = "AWS_ENDPOINT_URL_S3"
_PLACEHOLDER = "<random>"
_LOOPBACK = ("127.0.0.1", "localhost")
_EVERY = ("0.0.0.0", "[::]", "::")  # noqa: S104 - to be recognised

Place = Literal[
    "logs",
    "postgres",
    "kafka",
    "s3",
    "checkpoints",
    "savepoints",
    "flink-tmp",
    "demo",
    "demo.partial",
    "dashboard",
    "airflow",
    "run",
]
PLACES: tuple[Place, ...] = get_args(Place)
"""All that the stack keeps in STACK_DIR. `make clean` removes these and nothing else, ``run`` last: it marks a stack."""


class StackError(Exception):
    """Something a user can put right; the message says what is wrong and how."""


@dataclass(frozen=True)
class Address:
    """Where a part listens, and the setting that says so."""

    host: str
    port: int
    setting: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Login:
    """A database login."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user!r}, ***)"


@dataclass(frozen=True)
class Settings:
    """The validated settings of one stack."""

    environment: Mapping[str, str]  # what every part inherits: the real environment over .env over .env.example
    stack_dir: Path
    start_timeout: float  # seconds

    kafka: Address
    kafka_controller: Address
    kafka_heap: str
    kafka_retention_bytes: int
    topic_posts: str
    topic_outliers: str
    topic_dead: str

    flink: Address
    flink_rpc: Address
    flink_slots: int
    flink_jm_memory: str
    flink_tm_memory: str

    postgres: Address
    database: str
    admin: Login
    writer: Login
    reader: Login
    alerts: Login
    editor: Login

    s3: Address | None  # None: the lake is in an S3 that the stack does not start, such as AWS's
    bucket: str

    airflow: Address
    dashboard: Address

    def place(self, name: Place) -> Path:
        """Return where something of the stack lies."""
        return self.stack_dir / name

    @property
    def run_dir(self) -> Path:
        """Generated settings, sockets and process ids."""
        return self.place("run")

    @property
    def log_dir(self) -> Path:
        """One log (or two, for Flink) per part."""
        return self.place("logs")

    @property
    def worker_path(self) -> str:
        """The ``PATH`` of the task manager: this Python comes first, for Beam's Python workers."""
        own, inherited = str(Path(sys.executable).parent), self.environment.get("PATH", os.defpath).split(os.pathsep)
        return os.pathsep.join([own, *(folder for folder in inherited if folder != own)])


def load(
    environment: Mapping[str, str] | None = None, *, create: bool = False, anywhere: bool = False, bare: bool = False
) -> Settings:
    """Read the settings.

    Args:
        environment: what wins over ``.env``; the process's own environment by default.
        create: write ``.env`` from ``.env.example``, with fresh secrets, if it is needed and absent.
        anywhere: accept servers on other machines, which the local stack does not start.
        bare: do without secrets, which nothing needs that only stops or deletes.

    Raises:
        StackError: a setting is missing or malformed.
    """
    given = dict(os.environ if environment is None else environment)
    if create and not all(given.get(name) for name in SECRETS):
        write_env_file()
    defaults = {name: value for name, value in _read(ROOT / ".env.example").items() if value != _PLACEHOLDER}
    del defaults[S3_ENDPOINT]  # who leaves it out means AWS
    if bare:
        defaults |= dict.fromkeys(SECRETS, "")
    # An empty variable means "not set", as it does for libpq and boto3.
    merged = {**defaults, **_read(ROOT / ".env"), **{name: value for name, value in given.items() if value}}
    return _validate(merged, anywhere=anywhere)


def write_env_file(path: Path = ROOT / ".env", example: Path = ROOT / ".env.example") -> bool:
    """Create ``path`` (mode 0600) from ``example``, or give it the secrets that it lacks; tell if it was written.

    Keys of an S3 that is not the local stack's are not for us to invent.
    """
    template = example.read_text(encoding="utf-8")
    text = path.read_text(encoding="utf-8") if path.exists() else template
    own_s3 = _starts_s3(dotenv_values(stream=StringIO(text), interpolate=False))
    # A file from before a secret was invented gets it now.
    for name in re.findall(rf"(?m)^(\w+)={re.escape(_PLACEHOLDER)}", template):
        if (own_s3 or name not in S3_KEYS) and not re.search(rf"(?m)^#?\s*{name}=", text):
            text = f"{text.rstrip()}\n{name}={_PLACEHOLDER}\n"
    filled = re.sub(rf"(?m)^(\w+)={re.escape(_PLACEHOLDER)}", lambda match: f"{match[1]}={secrets.token_hex(16)}", text)
    if path.exists() and filled == path.read_text(encoding="utf-8"):
        return False
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - a mode from the first byte on
        file.write(filled)
    partial.rename(path)
    return True


def _starts_s3(env: Mapping[str, str | None]) -> bool:
    """Tell whether the S3 server is one on this machine."""
    return urlsplit(env.get(S3_ENDPOINT) or "").hostname in _LOOPBACK


def _read(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}


def _validate(env: dict[str, str], *, anywhere: bool) -> Settings:
    env["STACK_DIR"] = str((ROOT / Path(env["STACK_DIR"]).expanduser()).resolve())
    own_s3 = not anywhere and S3_ENDPOINT in env
    for name in SECRETS:
        if name in S3_KEYS and name not in env and not own_s3:
            continue  # the default credential chain has them
        if _PLACEHOLDER in env.get(name, _PLACEHOLDER):
            message = f"{name} is not set: run `make up`, which writes .env, or set it in the environment or in .env"
            raise StackError(message)
    address = partial(_address, env, anywhere=anywhere)
    return Settings(
        environment=env,
        stack_dir=Path(env["STACK_DIR"]),
        start_timeout=float(_integer(env, "START_TIMEOUT", least=1)),
        kafka=address("KAFKA_BOOTSTRAP_SERVERS", env["KAFKA_BOOTSTRAP_SERVERS"]),
        kafka_controller=Address("127.0.0.1", _port(env, "KAFKA_CONTROLLER_PORT"), "KAFKA_CONTROLLER_PORT"),
        kafka_heap=_size(env, "KAFKA_HEAP"),
        kafka_retention_bytes=_integer(env, "KAFKA_RETENTION_BYTES", least=-1),
        topic_posts=env["TOPIC_POSTS"],
        topic_outliers=env["TOPIC_OUTLIERS"],
        topic_dead=env["TOPIC_DEAD"],
        flink=address("FLINK_MASTER", env["FLINK_MASTER"].split("://")[-1].rstrip("/")),
        flink_rpc=Address("127.0.0.1", _port(env, "FLINK_RPC_PORT"), "FLINK_RPC_PORT"),
        flink_slots=_integer(env, "FLINK_SLOTS", least=1),
        flink_jm_memory=_size(env, "FLINK_JM_MEMORY"),
        flink_tm_memory=_size(env, "FLINK_TM_MEMORY"),
        postgres=address("PGHOST", f"{env['PGHOST']}:{_port(env, 'PGPORT')}", port_setting="PGPORT"),
        database=env["PGDATABASE"],
        admin=Login("postgres", env["PGADMIN_PASSWORD"]),
        writer=Login(env["PGUSER"], env["PGPASSWORD"]),
        reader=Login(env["PGREADER_USER"], env["PGREADER_PASSWORD"]),
        alerts=Login(env["PGALERTS_USER"], env["PGALERTS_PASSWORD"]),
        editor=Login(env["PGEDITOR_USER"], env["PGEDITOR_PASSWORD"]),
        s3=address(S3_ENDPOINT, urlsplit(env[S3_ENDPOINT]).netloc) if own_s3 else None,
        bucket=_bucket(env),
        airflow=Address("127.0.0.1", _port(env, "AIRFLOW_PORT"), "AIRFLOW_PORT"),
        dashboard=_reached(_address(env, "DASHBOARD_ADDRESS", env["DASHBOARD_ADDRESS"], anywhere=True)),
    )


def _address(
    env: Mapping[str, str], setting: str, text: str, *, anywhere: bool, port_setting: str | None = None
) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        message = f"{setting}={env[setting]}: expected one HOST:PORT"
        raise StackError(message)
    if host in _LOOPBACK:
        host = "127.0.0.1"
    elif not anywhere:
        message = (
            f"{setting}={env[setting]}: the local stack serves 127.0.0.1 only; a remote service is not its to start"
        )
        raise StackError(message)
    return Address(host, int(port), port_setting or setting)


def _reached(address: Address) -> Address:
    """Return where this machine reaches what may listen on every address."""
    return replace(address, host="127.0.0.1") if address.host in _EVERY else address


def _integer(env: Mapping[str, str], name: str, *, least: int) -> int:
    try:
        value = int(env[name])
    except ValueError:
        value = least - 1
    if value < least:
        message = f"{name}={env[name]}: expected a whole number of at least {least}"
        raise StackError(message)
    return value


def _port(env: Mapping[str, str], name: str) -> int:
    port = _integer(env, name, least=1)
    if port > 65535:
        message = f"{name}={port}: not a port"
        raise StackError(message)
    return port


def _size(env: Mapping[str, str], name: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[mg]", env[name]):
        message = f"{name}={env[name]}: expected a size such as 512m or 2g"
        raise StackError(message)
    return env[name]


def _bucket(env: Mapping[str, str]) -> str:
    lake = urlsplit(env["LAKE"])
    if lake.scheme != "s3" or not lake.netloc:
        message = f"LAKE={env['LAKE']}: expected s3://BUCKET or s3://BUCKET/PREFIX"
        raise StackError(message)
    return lake.netloc
