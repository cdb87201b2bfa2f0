"""Flink: a job manager and a task manager, started as Flink's own scripts would start them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any
from urllib.error import URLError

from local.jars import JOB_SERVER, ensure
from local.part import Launch, NotReadyError, Part, Say, java, write_if_changed
from local.settings import ROOT, Settings, StackError

_CONF = ROOT / "flink-conf"
_RESULT = "BASH_JAVA_UTILS_EXEC_RESULT:"
# Java 17 closes these to Kryo, Flink's serializers and closure cleaner.
_OPENS = [
    f"--add-{kind}={module}/{package}=ALL-UNNAMED"
    for kind, module, packages in (
        ("exports", "java.base", ("sun.net.util",)),
        ("exports", "java.rmi", ("sun.rmi.registry",)),
        ("exports", "java.security.jgss", ("sun.security.krb5",)),
        ("opens", "java.base", ("java.lang", "java.net", "java.io", "java.nio", "java.lang.reflect", "java.text")),
        ("opens", "java.base", ("java.time", "java.util", "java.util.concurrent", "java.util.concurrent.atomic")),
        ("opens", "java.base", ("java.util.concurrent.locks", "sun.nio.ch")),
    )
    for package in packages
]


def parts(settings: Settings) -> list[Part]:
    """Describe both processes."""
    manager, worker = settings.log_dir / "jobmanager", settings.log_dir / "taskmanager"
    children = settings.log_dir / "python-workers.out"
    return [
        Part(
            name="jobmanager",
            title="Flink job manager",
            listens=[settings.flink, settings.flink_rpc],
            where=f"http://{settings.flink}",
            launch=lambda say: _launch(
                settings,
                say,
                manager.with_suffix(".log"),
                "GET_JM_RESOURCE_PARAMS",
                [
                    "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
                    "--executionMode",
                    "cluster",
                ],
            ),
            check=lambda: _check_manager(settings),
            log=manager.with_suffix(".log"),
            output=manager.with_suffix(".out"),  # the name under which the web UI looks for it
            order=2,
            inherits=True,  # KafkaIO lists a topic's partitions here, and may have to log in
        ),
        Part(
            name="taskmanager",
            title="Flink task manager",
            listens=[],
            where=f"http://{settings.flink}/#/task-manager",
            launch=lambda say: _launch(
                settings,
                say,
                worker.with_suffix(".log"),
                "GET_TM_RESOURCE_PARAMS",
                ["org.apache.flink.runtime.taskexecutor.TaskManagerRunner"],
                {"PYTHONPATH": str(ROOT), "PYTHON_WORKER_LOG": str(children)},  # for the Python workers below it
            ),
            check=lambda: _check_worker(settings),
            log=worker.with_suffix(".log"),
            output=worker.with_suffix(".out"),
            order=3,
            inherits=True,
            children=children,
        ),
    ]


def _launch(
    settings: Settings, say: Say, log: Path, tool: str, main: list[str], environment: Mapping[str, str] | None = None
) -> Launch:
    """The command line of one process: memory as Flink itself computes it from ``config.yaml``."""
    class_path = _class_path(ensure(JOB_SERVER, say))
    conf = _render(settings)
    jvm, dynamic = _resources(conf, class_path, tool)
    properties = {
        "log.file": log,
        "log.metrics": settings.log_dir / "metrics.log",
        "log4j.configurationFile": f"file:{conf / 'log4j.properties'}",
    }
    home = _home()
    return Launch(
        [
            java(),
            *jvm,
            *_java_options(conf, "jobmanager" if tool == "GET_JM_RESOURCE_PARAMS" else "taskmanager"),
            *_OPENS,
            "-XX:+ExitOnOutOfMemoryError",  # the supervisor starts it anew
            *(f"-D{name}={value}" for name, value in properties.items()),
            *("-cp", class_path),
            *main,
            *("--configDir", str(conf)),
            *dynamic,
        ],
        environment={
            "FLINK_HOME": str(home),
            "FLINK_LIB_DIR": str(home / "lib"),
            "FLINK_OPT_DIR": str(home / "opt"),
            "FLINK_PLUGINS_DIR": str(home / "plugins"),
            **(environment or {}),
        },
    )


def _java_options(conf: Path, process: str) -> list[str]:
    """What ``env.java.opts`` of ``config.yaml`` adds; Flink's own start scripts heed it, which are not used here."""
    name = f"env.java.opts.{process}: "
    lines = (conf / "config.yaml").read_text(encoding="utf-8").splitlines()
    return [option for line in lines if line.startswith(name) for option in line.removeprefix(name).split()]


def _home() -> Path:
    spec = importlib.util.find_spec("pyflink")
    if spec is None or not spec.submodule_search_locations:
        message = "Flink's jars are missing: install the extra `stack` (make setup)"
        raise StackError(message)
    return Path(next(iter(spec.submodule_search_locations)))


def _class_path(beam_jars: Path) -> str:
    # The table API is not used; its planner alone would cost the start-up seconds of class loading.
    flink = [jar for jar in sorted((_home() / "lib").glob("*.jar")) if "-table-" not in jar.name]
    beam = [jar for jar in sorted((beam_jars / "lib").glob("*.jar")) if not jar.name.startswith(("flink-", "slf4j-"))]
    return os.pathsep.join(map(str, flink + beam))


def _render(settings: Settings) -> Path:
    checkpoints, savepoints = settings.place("checkpoints"), settings.place("savepoints")
    scratch = settings.place("flink-tmp")
    for folder in (checkpoints, savepoints, scratch):
        folder.mkdir(parents=True, exist_ok=True)
    conf = settings.run_dir / "flink"
    values = {
        "RPC_PORT": settings.flink_rpc.port,
        "REST_PORT": settings.flink.port,
        "SLOTS": settings.flink_slots,
        "JM_MEMORY": settings.flink_jm_memory,
        "TM_MEMORY": settings.flink_tm_memory,
        "CHECKPOINTS": checkpoints.as_uri(),
        "SAVEPOINTS": savepoints.as_uri(),
        "TMP": scratch,
    }
    template = Template((_CONF / "config.yaml").read_text(encoding="utf-8"))
    write_if_changed(conf / "config.yaml", template.safe_substitute(values))
    write_if_changed(conf / "log4j.properties", (_CONF / "log4j.properties").read_text(encoding="utf-8"))
    return conf


def _resources(conf: Path, class_path: str, tool: str) -> tuple[list[str], list[str]]:
    """JVM and ``-D`` parameters of one process, from Flink's own calculator; kept until the settings change."""
    key = hashlib.sha256(f"{tool}{class_path}{(conf / 'config.yaml').read_text(encoding='utf-8')}".encode()).hexdigest()
    cache = conf / f"{tool}.json"
    if cache.exists():
        kept = json.loads(cache.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return kept["jvm"], kept["dynamic"]
    calculator = os.pathsep.join([str(_home() / "bin" / "bash-java-utils.jar"), class_path])
    main = "org.apache.flink.runtime.util.bash.BashJavaUtils"
    done = subprocess.run(
        [java(), "-cp", calculator, main, tool, "--configDir", str(conf)], capture_output=True, text=True, check=False
    )
    results = [line.removeprefix(_RESULT) for line in done.stdout.splitlines() if line.startswith(_RESULT)]
    if done.returncode or not results:
        causes = [line for line in (done.stdout + done.stderr).splitlines() if "Exception: " in line]
        setting = "FLINK_JM_MEMORY" if tool == "GET_JM_RESOURCE_PARAMS" else "FLINK_TM_MEMORY"
        message = f"Flink refuses {setting}: {causes[-1].split('Exception: ')[-1] if causes else done.stderr}"
        raise StackError(message)
    jvm, dynamic = results[0].split(), results[1].split() if len(results) > 1 else []
    write_if_changed(cache, json.dumps({"key": key, "jvm": jvm, "dynamic": dynamic}))
    return jvm, dynamic


@dataclass(frozen=True)
class Running:
    """A job that runs.

    Attributes:
        name: its name.
        checkpoints: the folder of its checkpoints.
    """

    name: str
    checkpoints: Path

    def newest_checkpoint(self) -> str:
        """Return the address of the newest complete checkpoint, for ``--savepoint_path``; empty if there is none."""
        complete = [found.parent for found in self.checkpoints.glob("chk-*/_metadata")]
        newest = max(complete, key=lambda folder: int(folder.name.removeprefix("chk-")), default=None)
        return newest.as_uri() if newest else ""


def running(settings: Settings) -> list[Running]:
    """Return the cluster's jobs that run; none if it does not answer."""
    try:
        jobs = _get(settings, "/jobs/overview")["jobs"]
    except NotReadyError:
        return []
    folder = settings.stack_dir / "checkpoints"
    return [Running(job["name"], folder / job["jid"]) for job in jobs if job["state"] in {"RUNNING", "RESTARTING"}]


def _get(settings: Settings, path: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://{settings.flink}{path}", timeout=3) as response:
            answer = json.load(response)
    except (URLError, OSError, ValueError) as error:
        raise NotReadyError(str(error)) from None
    return dict(answer)


def _check_manager(settings: Settings) -> str:
    overview = _get(settings, "/overview")
    return f"{overview['jobs-running']} jobs running"


def _check_worker(settings: Settings) -> str:
    overview = _get(settings, "/overview")
    if not overview["taskmanagers"] or not overview["slots-total"]:
        message = "not registered with the job manager yet"
        raise NotReadyError(message)
    return f"{overview['slots-available']} of {overview['slots-total']} slots free"
