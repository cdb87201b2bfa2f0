"""Running on Flink: defaults for ``--runner=FlinkRunner``, checks before a submission, and following a job.

With the local stack up, ``--runner=FlinkRunner`` is all that a command line needs. ``--flink_master=[local]`` runs an
embedded Flink instead of a cluster's. Any option that is given wins over its default here.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from local import jars
from local.settings import ROOT
from programs.errors import UserError

WORKER_BOOT = ROOT / "flink-conf" / "worker_boot.py"
REST_TIMEOUT_SECONDS = 10
FLAGS = (
    "--faster_copy",  # spares a copy of every record between chained operators
    # Otherwise what a bundle yields at a checkpoint is held back until that is complete; the watermark may overtake it,
    # and the posts would count as late.
    "--finish_bundle_before_checkpointing",
    # A checkpoint overtakes what lies between the stages, and waits for one bundle in each, all at the same time. Otherwise
    # every stage would first work off all that lies before it: ten seconds under load.
    "--unaligned_checkpoint_enabled",
)
# A Beam experiment: elements reach the Python worker at once. A reader is one element: it would lie in Beam's buffer
# until the bundle's end is asked for, and the bundle would do nothing until then.
AT_ONCE = "data_buffer_size_limit=1"
# Its class and what it says. Further lines of a message may begin with a word in capitals, as Postgres' DETAIL and HINT.
_EXCEPTION = re.compile(r"^(?:Caused by: )?((?=[\w.$]*[a-z])[A-Za-z_][\w.$]*: .+)", re.MULTILINE)
TERMINAL_STATES = frozenset(("FINISHED", "FAILED", "CANCELED"))


def job_server_jar() -> Path:
    """Return the jar of job server and expansion service.

    Raises:
        UserError: it has not been built.
    """
    jar = jars.folder(jars.JOB_SERVER) / "job-server.jar"
    if not jar.exists():
        msg = f"the job-server jar is not built ({jar}): run `make setup`"
        raise UserError(msg)
    return jar


def wants_flink(argv: Sequence[str]) -> bool:
    """Tell whether a command line asks for the Flink runner."""
    return option(argv, "runner").lower() in ("flinkrunner", "flink")


def option(argv: Sequence[str], name: str) -> str:
    """Return the value of an option of a command line, empty if it is not given."""
    for i, argument in enumerate(argv):
        if argument == f"--{name}":
            return argv[i + 1] if i + 1 < len(argv) else ""
        if argument.startswith(f"--{name}="):
            return argument.partition("=")[2]
    return ""


def _reason(error: HTTPError) -> str:
    """Return what Flink's REST API says of a refusal, without its stack trace."""
    try:
        told = "\n".join(json.loads(error.read())["errors"])
    except (ValueError, KeyError, TypeError):
        told = ""
    lines = [line.strip() for line in told.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    return lines[0] if lines else str(error.reason)


def _cause(stack_trace: str) -> str:
    """Return the last exception that a Java stack trace names; a Python worker's own trace may be part of it."""
    named = _EXCEPTION.findall(stack_trace)
    return named[-1] if named else stack_trace.partition("\n")[0]


def faults_in(exceptions: Mapping[str, Any]) -> list[tuple[float, str]]:
    """Return when something went wrong in a job, epoch seconds, and what, in one line; the newest first.

    Args:
        exceptions: Flink's answer to ``/jobs/ID/exceptions``; it remembers the last 16, unless configured otherwise.
    """
    history = exceptions.get("exceptionHistory", {}).get("entries", [])
    return [(entry["timestamp"] / 1000, _cause(entry["stacktrace"])) for entry in history]


def with_defaults(argv: Sequence[str], job_name: str, **own: object) -> list[str]:
    """Add to a command line what the Flink runner needs and it does not say.

    Args:
        argv: the command line.
        job_name: default of the job's name.
        own: further defaults, over those for any job.
    """
    search_path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # Memory pools of the many threads of a worker: by default glibc keeps up to eight per core, each with its own leftovers;
    # Arrow's own pool keeps what was freed, too.
    environment = {
        "PATH": search_path,
        "PYTHONPATH": str(ROOT),
        "MALLOC_ARENA_MAX": "2",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    worker = {"command": str(WORKER_BOOT), "env": environment}
    defaults = {
        "flink_master": os.environ.get("FLINK_MASTER", "127.0.0.1:8081"),
        "flink_version": "1.19",
        "environment_type": "PROCESS",
        "environment_config": json.dumps(worker),
        "sdk_worker_parallelism": "2",
        "parallelism": "2",
        "checkpointing_interval": "10000",  # ms; a cluster's own setting is not applied to Beam's jobs
        "max_bundle_size": "20000",
        "max_bundle_time_mills": "1000",
        "max_cache_memory_usage_mb": "100",  # of state in a worker; without the option it is none
        "job_name": job_name,
        **own,
    }
    added = [f"--{name}={value}" for name, value in defaults.items() if not option(argv, name)]
    return [*argv, *added, *(flag for flag in FLAGS if flag not in argv)]


class Cluster:
    """Flink's REST API.

    Args:
        master: ``HOST:PORT`` of the job manager's REST endpoint.
    """

    def __init__(self, master: str) -> None:
        self.url = master if master.startswith(("http://", "https://")) else f"http://{master}"

    def get(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """Ask for a resource, with a body to be sent as JSON if there is one.

        Raises:
            UserError: the cluster does not answer, or refuses; the message holds its reason.
        """
        data = None if body is None else json.dumps(body).encode()
        request = Request(  # noqa: S310 - the scheme is http or https
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urlopen(request, timeout=REST_TIMEOUT_SECONDS) as response:  # noqa: S310
                return json.loads(response.read() or b"null")
        except HTTPError as error:
            msg = f"Flink at {self.url} answers {method} {path} with {error.code}: {_reason(error)}"
            raise UserError(msg) from None
        except (URLError, OSError) as error:
            msg = f"no Flink cluster answers at {self.url} ({error}): start it with `make up`, or set FLINK_MASTER"
            raise UserError(msg) from None

    def check_slots(self, needed: int) -> None:
        """See that a job of that parallelism can start.

        Raises:
            UserError: the cluster is away or has too few free slots.
        """
        overview = self.get("/overview")
        free = overview["slots-available"]
        if free < needed:
            running = ", ".join(job["name"] for job in self.jobs() if job["state"] not in TERMINAL_STATES) or "none"
            msg = (
                f"the Flink cluster at {self.url} has {free} free slots of {overview['slots-total']}, {needed} are needed "
                f"(--parallelism); running jobs: {running}. Cancel one in the web UI, or raise FLINK_SLOTS"
            )
            raise UserError(msg)

    def jobs(self) -> list[dict[str, Any]]:
        """Return the cluster's jobs, newest first."""
        jobs: list[dict[str, Any]] = self.get("/jobs/overview")["jobs"]
        return sorted(jobs, key=lambda job: -job["start-time"])

    def _new_jobs(self, name: str, known: set[str]) -> list[dict[str, Any]]:
        return [job for job in self.jobs() if job["name"] == name and job["jid"] not in known]

    def state(self, job_id: str) -> str:
        """Return the state of a job."""
        return str(self.get(f"/jobs/{quote(job_id)}")["state"])

    def cancel(self, job_id: str) -> None:
        """Cancel a job and wait until it is gone."""
        self.get(f"/jobs/{quote(job_id)}?mode=cancel", method="PATCH")
        while self.state(job_id) not in TERMINAL_STATES:
            time.sleep(0.3)

    @contextmanager
    def one_more(self, name: str) -> Iterator[set[str]]:
        """The submission of a job; what was submitted is cancelled if the block is left by an error or by Ctrl-C.

        Yields:
            The ids of the jobs that are known before.
        """
        known = {job["jid"] for job in self.jobs()}
        try:
            yield known
        except BaseException:
            for job in self._new_jobs(name, known):
                if job["state"] not in TERMINAL_STATES:
                    print(f"cancelling {name} …", file=sys.stderr, flush=True)
                    self.cancel(job["jid"])
            raise

    def cancel_with_savepoint(self, job_id: str, directory: str = "") -> str:
        """Take a savepoint of a job, cancel the job, and wait until both is done; the job runs on if there can be none.

        Not Flink's "stop": Beam's sources, when they end, tell the steps behind them that event time is over, and these
        would close every open window.

        Args:
            job_id: the job.
            directory: URI of the folder for the savepoint; the cluster's own folder of savepoints if empty.

        Returns:
            The savepoint's address, for ``--savepoint_path``.

        Raises:
            UserError: Flink could not take it; the message holds its reason.
        """
        body = {"cancel-job": True, **({"target-directory": directory} if directory else {})}
        path = f"/jobs/{quote(job_id)}/savepoints"
        trigger = self.get(path, "POST", body)["request-id"]
        while (answer := self.get(f"{path}/{quote(trigger)}"))["status"]["id"] != "COMPLETED":
            time.sleep(0.5)
        if "location" not in answer["operation"]:
            reason = "\n".join(answer["operation"]["failure-cause"]["stack-trace"].splitlines()[:12])
            msg = f"no savepoint was taken, the job runs on:\n{reason}"
            raise UserError(msg)
        while self.state(job_id) not in TERMINAL_STATES:
            time.sleep(0.3)
        return str(answer["operation"]["location"])

    def newest_checkpoint(self, job_id: str) -> str:
        """Return the address of a job's newest checkpoint, for ``--savepoint_path``; empty if there is none."""
        latest = self.get(f"/jobs/{quote(job_id)}/checkpoints")["latest"]["completed"]
        return str(latest["external_path"]) if latest else ""

    def newest_fault(self, job_id: str) -> str:
        """Return what went wrong last in a job, in one line; empty if nothing did."""
        faults = faults_in(self.get(f"/jobs/{quote(job_id)}/exceptions"))
        return faults[0][1] if faults else ""

    def wait_for_start(self, name: str, known: set[str], timeout: float = 120) -> str:
        """Wait until a job of that name which is not in ``known`` runs in all its tasks; return its id.

        Raises:
            UserError: it failed or did not start in time.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for job in self._new_jobs(name, known):
                if job["state"] == "FAILED":
                    msg = f"the job {name} failed: {self.newest_fault(job['jid'])}"
                    raise UserError(msg)
                if job["state"] == "RUNNING" and job["tasks"]["running"] == job["tasks"]["total"]:
                    return str(job["jid"])
            time.sleep(0.5)
        faults = [fault for job in self._new_jobs(name, known) if (fault := self.newest_fault(job["jid"]))]
        why = f"it fails and is started again: {faults[0]}" if faults else "see `make logs`"
        msg = f"the job {name} did not start within {timeout:.0f} s: {why}"
        raise UserError(msg)
