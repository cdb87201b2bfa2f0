"""What Flink tells of a job's checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from beam_pipelines.flink import Cluster


@dataclass(frozen=True)
class Checkpoints:
    """All checkpoints of a job so far.

    Attributes:
        completed: how many were completed.
        failed: how many were not.
        mean_seconds: mean duration of the completed, from trigger to end; 0 if there are none.
        slowest_seconds: the longest duration.
        largest_bytes: size of the state in the largest.
    """

    completed: int
    failed: int
    mean_seconds: float
    slowest_seconds: float
    largest_bytes: int

    @classmethod
    def parse(cls, answer: dict[str, Any]) -> Checkpoints:
        """Read the answer of Flink's ``/jobs/…/checkpoints``."""
        counts, summary = answer["counts"], answer["summary"]
        duration, size = summary["end_to_end_duration"], summary["state_size"]
        done = counts["completed"] > 0  # without any, Flink tells numbers that mean nothing
        return cls(
            counts["completed"],
            counts["failed"],
            duration["avg"] / 1000 if done else 0.0,
            duration["max"] / 1000 if done else 0.0,
            size["max"] if done else 0,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def running_job(cluster: Cluster) -> str:
    """Return the id of the newest job that runs.

    Raises:
        LookupError: none runs.
    """
    for job in cluster.jobs():
        if job["state"] == "RUNNING":
            return str(job["jid"])
    msg = f"no job runs at {cluster.url}"
    raise LookupError(msg)


def checkpoints_of(cluster: Cluster, job: str) -> Checkpoints:
    """Ask about a job's checkpoints."""
    return Checkpoints.parse(cluster.get(f"/jobs/{job}/checkpoints"))


def newest_bytes(cluster: Cluster, job: str) -> int | None:
    """Return the size of the state in the newest completed checkpoint of a job; ``None`` if there is none yet."""
    newest = cluster.get(f"/jobs/{job}/checkpoints")["latest"]["completed"]
    return None if newest is None else int(newest["state_size"])
