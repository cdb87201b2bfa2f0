"""Jars from Maven Central, fetched once into a cache that is keyed by the ``pom.xml`` that names them."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from local.part import Say
from local.settings import CACHE, ROOT, StackError

BROKER = ROOT / "local" / "kafka-broker"
JOB_SERVER = ROOT / "flink-conf" / "job-server"


def folder(project: Path, cache: Path = CACHE) -> Path:
    """Where the jars of a Maven project lie, or will lie."""
    digest = hashlib.sha256()
    for path in sorted([project / "pom.xml", *(project / "src").rglob("*.*")]):
        digest.update(path.relative_to(project).as_posix().encode() + b"\0" + path.read_bytes())
    return cache / f"{project.name}-{digest.hexdigest()[:12]}"


def ensure(project: Path, say: Say, cache: Path = CACHE) -> Path:
    """Build ``project`` if its jars are not in the cache, and return their folder.

    Folders of older versions stay (``make clean`` removes them): a running stack loads classes from its own until it is
    stopped.

    Raises:
        StackError: Maven is missing or failed.
    """
    target = folder(project, cache)
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{project.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another stack may be building the same
        if not target.exists():
            say(f"fetching the jars of {project.name} (once; takes about a minute)")
            _build(project, target)
    return target


def _build(project: Path, target: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        message = "no Maven found: install it (Debian: apt-get install maven) or put mvn on the PATH"
        raise StackError(message)
    partial = Path(tempfile.mkdtemp(prefix=f".{project.name}-", dir=target.parent))
    log = target.parent / f"{project.name}.log"
    try:
        # The sources are copied so that Maven's own target/ never appears in the tree.
        shutil.copytree(project, partial / "project", ignore=shutil.ignore_patterns("target"))
        with log.open("w") as output:
            done = subprocess.run(
                [maven, "--batch-mode", "--no-transfer-progress", f"-Djars={partial / 'jars'}", "package"],
                cwd=partial / "project",
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        if done.returncode:
            errors = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("[ERROR]")]
            message = f"Maven could not build {project.relative_to(ROOT)}: {errors[0] if errors else 'see'} ({log})"
            raise StackError(message)
        (partial / "jars").rename(target)
    finally:
        shutil.rmtree(partial)
