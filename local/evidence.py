"""What a failed test or benchmark leaves behind: the stack's logs, what Flink tells of its jobs, where each thread is."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from beam_pipelines.flink import WORKER_BOOT, Cluster, faults_in
from local.settings import ROOT, Settings
from local.stack import ends
from local.supervisor import Supervisor
from programs.errors import UserError

_WRITING_SECONDS = 2.0  # for the workers to write their stacks


def note_jobs(settings: Settings) -> None:
    """Write beside the logs what the cluster tells of its jobs and threads; have its Python workers write their stacks.

    ``flink.json`` has it all, ``faults.log`` a line for each time that a job failed or was started again.
    """
    cluster = Cluster(str(settings.flink))
    answers: dict[str, Any] = {}
    faults: list[str] = []
    try:
        for job in cluster.jobs():
            name = f"{job['name']} {job['jid']}"
            for path in ("", "/checkpoints", "/exceptions"):
                answers[f"job {name}{path}"] = cluster.get(f"/jobs/{job['jid']}{path}")
            for at, cause in reversed(faults_in(answers[f"job {name}/exceptions"])):
                faults.append(f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} {name}: {cause}\n")
        for manager in cluster.get("/taskmanagers")["taskmanagers"]:
            for path in ("/metrics?get=Status.JVM.Memory.Heap.Used,Status.JVM.Memory.Heap.Max", "/thread-dump"):
                answers[f"task manager{path}"] = cluster.get(f"/taskmanagers/{manager['id']}{path}")
    except UserError as error:
        answers["error"] = str(error)
    (settings.log_dir / "flink.json").write_text(json.dumps(answers, indent=1), encoding="utf-8")
    (settings.log_dir / "faults.log").write_text("".join(faults), encoding="utf-8")
    manager = (Supervisor(settings).processes() or {}).get("taskmanager")
    if manager is None:
        return
    try:
        for process in psutil.Process(manager.pid).children(recursive=True):
            if str(WORKER_BOOT) in process.cmdline():
                process.send_signal(signal.SIGUSR1)
    except psutil.Error:
        return  # the task manager or a worker has just ended
    time.sleep(_WRITING_SECONDS)


def keep_logs(settings: Settings, name: str) -> Path:
    """Copy the stack's logs to a folder of their own below build/, whose name begins so; return the folder."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=ROOT / "build"))
    shutil.copytree(settings.log_dir, folder, dirs_exist_ok=True)
    return folder


def ends_of_logs(settings: Settings) -> str:
    """Return the last lines of each log."""
    logs = (path for path in sorted(settings.log_dir.iterdir()) if path.suffix in {".log", ".out"})
    return ends(logs)
