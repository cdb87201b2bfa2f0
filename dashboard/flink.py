"""The stream's job as Flink's REST API shows it: throughput, watermark, back-pressure, checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from dashboard.problems import documented
from dashboard.services import ServicesNeeded

router = APIRouter(tags=["health"])

Source = Literal["kafkaio", "librdkafka"]
READING: Final = "ReadPosts"
"""Label of the stream's first transform; it is in the names of the steps that read."""

SECONDS = 2.0
"""How long Flink may take for one answer."""
_METRICS = ("numRecordsInPerSecond", "numRecordsOutPerSecond", "backPressuredTimeMsPerSecond", "busyTimeMsPerSecond")
# Of the source, at the ends of longer names: the counter of both sources; KafkaIO's gauge of each of its readers.
_POSTS_READ = f".{READING}_posts"
_POSTS_BEHIND = "_backlog_elements"
_NO_WATERMARK = -(2**62)


class Step(BaseModel):
    """A vertex of the job's graph: some transforms that run as one."""

    id: str
    name: str
    status: str
    parallelism: int
    posts_read: int | None = Field(
        description="Posts read since the job began or was restarted; null where it reads none."
    )
    posts_behind: int | None = Field(
        description="Posts that `ReadFromKafka` had still to read when it last fetched some or a checkpoint was taken."
    )
    records_in_per_second: float | None
    records_out_per_second: float | None
    busy: float | None = Field(description="Share of the time that its busiest slice works, 0 to 1.")
    back_pressure: float | None = Field(
        description="Share of the time that its slowest slice waits for those after it, 0 to 1."
    )
    watermark: datetime | None = Field(description="Event time up to which it has seen everything.")


class Checkpoints(BaseModel):
    """How durable the job's progress is."""

    completed: int
    failed: int
    last_completed_at: datetime | None
    last_duration_seconds: float | None
    last_size_bytes: int | None


class Job(BaseModel):
    """One job of the cluster."""

    id: str
    name: str
    state: str
    started_at: datetime
    source: Source | None = Field(description="How it reads Kafka; null if it is no job of the stream.")
    steps: list[Step]
    checkpoints: Checkpoints
    restarts: int | None = Field(description="How often Flink has restarted it after a fault.")


class Flink(BaseModel):
    """The cluster."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "reachable": True,
                    "url": "http://127.0.0.1:8081",
                    "detail": None,
                    "slots_total": 2,
                    "slots_free": 0,
                    "jobs": [],
                }
            ]
        }
    )

    reachable: bool
    url: str | None = Field(description="Flink's web UI; null if it cannot be opened from a browser.")
    detail: str | None = Field(description="What is wrong and what to do, if it does not answer.")
    slots_total: int | None = None
    slots_free: int | None = None
    jobs: list[Job] = []


@router.get("/flink", responses=documented(503))
def get_flink(services: ServicesNeeded) -> Flink:
    """Return what Flink says of the cluster and its running jobs."""
    return look(services.config.flink)


def look(master: str) -> Flink:
    """Ask a cluster about itself and its running jobs.

    Args:
        master: ``HOST:PORT`` of its REST API.
    """
    url = (master if "://" in master else f"http://{master}").rstrip("/")
    if not _is_web_address(url):
        return Flink(reachable=False, url=None, detail=f"FLINK_MASTER={master} is no cluster's address.")
    try:
        overview = _get(url, "/overview")
        running = [
            job for job in _get(url, "/jobs/overview")["jobs"] if job["state"] in {"RUNNING", "RESTARTING", "CREATED"}
        ]
        jobs = [_job(url, job["jid"]) for job in sorted(running, key=lambda job: -job["start-time"])]
    except (OSError, URLError, ValueError, KeyError) as error:
        cause = getattr(error, "reason", error)
        detail = f"Flink does not answer at {url} ({cause}). Start it with `make up`, or set FLINK_MASTER."
        return Flink(reachable=False, url=url, detail=detail)
    return Flink(
        reachable=True,
        url=url,
        detail=None,
        slots_total=overview["slots-total"],
        slots_free=overview["slots-available"],
        jobs=jobs,
    )


def _job(url: str, job_id: str) -> Job:
    path = f"/jobs/{quote(job_id)}"
    job, checkpoints = _get(url, path), _get(url, f"{path}/checkpoints")
    latest = checkpoints.get("latest", {}).get("completed") or {}
    restarts = _get(url, f"{path}/metrics?get=numRestarts")
    return Job(
        id=job_id,
        name=job["name"],
        state=job["state"],
        started_at=_moment(job["start-time"]),
        source=_source([vertex["name"] for vertex in job["vertices"]]),
        steps=[_step(url, path, vertex) for vertex in job["vertices"]],
        checkpoints=Checkpoints(
            completed=checkpoints["counts"]["completed"],
            failed=checkpoints["counts"]["failed"],
            last_completed_at=_moment(latest["latest_ack_timestamp"]) if latest else None,
            last_duration_seconds=latest["end_to_end_duration"] / 1000 if latest else None,
            last_size_bytes=latest["state_size"] if latest else None,
        ),
        restarts=int(restarts[0]["value"]) if restarts and "value" in restarts[0] else None,
    )


def _source(names: Sequence[str]) -> Source | None:
    if not any(READING in name for name in names):
        return None
    return "kafkaio" if any("ReadFromKafka" in name for name in names) else "librdkafka"


def _step(url: str, path: str, vertex: dict[str, Any]) -> Step:
    resource = f"{path}/vertices/{quote(vertex['id'])}"
    # What a source reads is a metric of its operator or of Beam's, not of the step that it is chained into.
    reading = _reading_metrics(_get(url, f"{resource}/subtasks/metrics") if READING in vertex["name"] else [])
    names = quote(",".join([*_METRICS, *reading]), safe=",")
    metrics = {entry["id"]: entry for entry in _get(url, f"{resource}/subtasks/metrics?get={names}&agg=sum,max")}
    watermarks = [int(entry["value"]) for entry in _get(url, f"{resource}/watermarks")]
    watermark = min(watermarks, default=_NO_WATERMARK)

    def metric(name: str, aggregate: str, scale: float = 1.0) -> float | None:
        value = float(metrics.get(name, {}).get(aggregate, "nan"))
        return value / scale if math.isfinite(value) else None

    def posts(kind: str) -> int | None:
        # A reader that does not know yet what is left says -1.
        found = [
            value
            for name in reading
            if name.endswith(kind) and (value := metric(name, "sum")) is not None and value >= 0
        ]
        return round(sum(found)) if found else None

    return Step(
        id=vertex["id"],
        name=vertex["name"],
        status=vertex["status"],
        parallelism=vertex["parallelism"],
        posts_read=posts(_POSTS_READ),
        posts_behind=posts(_POSTS_BEHIND),
        records_in_per_second=metric("numRecordsInPerSecond", "sum"),
        records_out_per_second=metric("numRecordsOutPerSecond", "sum"),
        busy=metric("busyTimeMsPerSecond", "max", 1000),
        back_pressure=metric("backPressuredTimeMsPerSecond", "max", 1000),
        # Flink's own extremes stand for "nothing yet" and "at the end".
        watermark=_moment(watermark) if 0 < watermark < 32_503_680_000_000 else None,
    )


def _reading_metrics(entries: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names of the metrics that tell what is read from Kafka."""
    return [name for entry in entries if (name := entry["id"]).endswith((_POSTS_READ, _POSTS_BEHIND))]


def _is_web_address(url: str) -> bool:
    try:
        return urlsplit(url).scheme in {"http", "https"} and bool(urlsplit(url).hostname)
    except ValueError:  # such as `[local]`, which stands for a Flink inside the submitting process
        return False


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _get(url: str, path: str) -> Any:
    with urlopen(url + path, timeout=SECONDS) as response:  # noqa: S310 - the scheme is checked
        return json.loads(response.read())
