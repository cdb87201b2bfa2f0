"""The daily batch: one day of the archive into Postgres, new baselines, the parity check, retention.

Every run works on one UTC day: that of its logical date. A scheduled run becomes due after that day has ended
(``BATCH_SCHEDULE``), when late posts are in the archive. Each task runs a command of the project in the project's own
environment, never in Airflow's; secrets reach it through the environment or ``.env`` and are no part of a command.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
from airflow.providers.apache.beam.operators.beam import BeamRunPythonPipelineOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronDataIntervalTimetable, Param, TriggerRule

PROJECT = Path(__file__).resolve().parent.parent
PYTHON = os.environ.get("BATCH_PYTHON") or str(PROJECT / ".venv" / "bin" / "python")
FIRST_DAY = os.environ.get("BATCH_FIRST_DAY")
BEFORE_ANY_POST = datetime(2016, 1, 1, tzinfo=UTC)

log = logging.getLogger(__name__)


def day_of(run: Any) -> str:
    """Return the day that a run works on, ``YYYY-MM-DD``.

    It is the day of the logical date, but never one that was not over when the run became due: counts of half a day
    would teach the baselines that the other half was silent. So a run that somebody triggers "now", or without a
    logical date, works on yesterday.

    The data interval would not do: that of a scheduled run starts on the same day, but of a manual one (``airflow dags
    test`` too) Airflow makes it the last interval that was complete *before* the logical date.
    """
    over: datetime = run.run_after - timedelta(days=1)
    return min(run.logical_date or over, over).astimezone(UTC).date().isoformat()


def pipeline_options(task: str, *own: str) -> Callable[..., dict[str, Any]]:
    """Return what renders a pipeline's options: the day, the params named ``own``, and those of ``{task}_options``."""

    def render(context: Any, jinja_env: Any) -> dict[str, Any]:  # noqa: ARG001 - Airflow passes both by name
        params = context["params"]
        parallelism = "parallelism" if params["runner"] == "FlinkRunner" else "direct_num_workers"
        return {
            **params[f"{task}_options"],
            "date": day_of(context["dag_run"]),
            parallelism: params["parallelism"],
            **{name: params[name] for name in own},
        }

    return render


def command_environment(context: Any, jinja_env: Any) -> dict[str, str]:  # noqa: ARG001 - Airflow passes both by name
    """Return the variables that the commands in Bash refer to, so that no value is ever parsed as shell code."""
    return {
        "PYTHON": PYTHON,
        "DAY": day_of(context["dag_run"]),
        "KEEP_DAYS": str(context["params"]["keep_days"]),
        "MIN_MENTIONS": str(context["params"]["min_mentions"]),
    }


class RunPipeline(BeamRunPythonPipelineOperator):
    """Runs a module of the project as a Beam pipeline.

    Adds two things to the operator: modules are found wherever Airflow was started, and a task that times out ends its
    pipeline (which cancels its job on Flink), where the operator would leave it running beside the task's next try.
    """

    def execute(self, context: Any) -> Any:
        """Run the pipeline in the project's folder."""
        with contextlib.chdir(PROJECT):
            return super().execute(context)

    def on_kill(self) -> None:
        """Ask the pipeline to stop."""
        for child in psutil.Process().children():
            child.terminate()


def report_failure(context: Any) -> None:
    """Say in one line what failed; post it to ``BATCH_ALERT_WEBHOOK`` if that is set."""
    task, run = context["task_instance"], context["dag_run"]
    reason = " ".join(str(context.get("exception") or "killed from outside").split())
    line = f"{task.dag_id} failed: task {task.task_id}, day {day_of(run)}, try {task.try_number}: {reason}"
    log.error("%s (run %s)", line, run.run_id)
    webhook = os.environ.get("BATCH_ALERT_WEBHOOK")
    if webhook:
        try:
            httpx.post(webhook, json={"text": line}, timeout=10).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The address of a webhook is a secret, and an error's text has it.
            log.warning("the webhook could not be told: %s", type(error).__name__)


OWN_PARAMS = ["date", "from", "to", "runner", "parallelism", "direct_num_workers", "detector"]
"""Options that params or the run itself set: among further options they would be dropped without a word."""


def options_of(task: str, example: str) -> Param:
    """Return the param that holds further options of a pipeline."""
    return Param(
        {},
        type="object",
        propertyNames={"pattern": "^[a-z][a-z0-9_]*$", "not": {"enum": OWN_PARAMS}},
        additionalProperties={"type": ["string", "number", "boolean", "array"], "items": {"type": "string"}},
        title=f"More options of {task}",
        description=f"Further options of `python -m beam_pipelines.{task}`, its own or Beam's, such as `{example}`."
        " What has a param of its own, or comes from the run's day, is refused here."
        " Everybody who can see this page can see them: never put a secret here.",
    )


PARAMS = {
    "runner": Param(
        os.environ.get("BATCH_RUNNER") or "DirectRunner",
        type="string",
        enum=["DirectRunner", "FlinkRunner"],
        title="Runner",
        description="Where the pipelines run: in processes of this machine, or on the Flink cluster of FLINK_MASTER.",
    ),
    "parallelism": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=1024,
        title="Parallelism",
        description="Worker processes of the DirectRunner, or slots on Flink. Empty: what the pipeline chooses.",
    ),
    "detector": Param(
        None,
        type=["null", "string"],
        pattern="^[a-z][a-z0-9_]*$",
        title="Detector",
        description="Whose baselines `stats` learns (see `python -m beam_pipelines.stats --help`). Empty: its default.",
    ),
    "keep_days": Param(
        int(os.environ.get("BATCH_KEEP_DAYS") or 90),
        type="integer",
        minimum=1,
        maximum=36_500,
        title="Days to keep",
        description="Retention keeps this many days up to the run's day. The detector learns from 28.",
    ),
    "min_mentions": Param(
        int(os.environ.get("BATCH_MIN_MENTIONS") or 2),
        type="integer",
        minimum=1,
        maximum=1_000_000,
        title="Least mentions of the stream",
        description="`--min_mentions` of the stream, which writes no smaller counts: `parity` expects none.",
    ),
    "parse_options": options_of("parse", '{"skip_broken": true}'),
    "stats_options": options_of("stats", '{"direct_running_mode": "in_memory"}'),
}

with DAG(
    dag_id="tiktok_daily",
    description="One day: archive to Postgres, new baselines, parity of stream and batch, retention",
    doc_md="""\
### The daily batch

`parse → stats → parity → retention` for one UTC day: the day of the run's **logical date**. A run becomes due after that
day has ended. One that is triggered without a past logical date works on yesterday.

All tasks are idempotent, so a day can be run or cleared as often as you like. One run is active at a time, in the order
of days; of a **backfill** too, if you give it one active run. A day that fails does not hold back the next one; but clear
it soon, for `stats` learns from days without a gap.

**When a run fails**: read the log of the red task, put right what it says, clear that task with its downstream tasks.
If only `parity` is red, Postgres holds the day in full, but stream and batch counted differently for a reason that
`parity` does not know; its report is in the log and in the table `parity_days`. More in `docs/airflow.md`.
""",
    # A scheduled run's logical date is the start of its interval, hence the day that is over when the interval ends.
    # Airflow takes a plain cron string otherwise since version 3: there the logical date is the moment of the run.
    schedule=CronDataIntervalTimetable(os.environ.get("BATCH_SCHEDULE") or "0 3 * * *", timezone="UTC"),
    start_date=datetime.fromisoformat(FIRST_DAY).replace(tzinfo=UTC) if FIRST_DAY else BEFORE_ANY_POST,
    catchup=bool(FIRST_DAY),
    max_active_runs=1,
    params=PARAMS,
    tags=["tiktok", "batch"],
    default_args={
        "owner": "tiktok-anomalies",
        "retries": 3,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(hours=1),
        "execution_timeout": timedelta(hours=6),
        # max_active_runs does not count the runs of a backfill, which Airflow lets run ten at a time.
        "max_active_tis_per_dag": 1,
        "on_failure_callback": report_failure,
    },
) as dag:
    parse = RunPipeline(
        task_id="parse",
        py_interpreter=PYTHON,
        py_options=["-m"],
        py_file="beam_pipelines.parse",
        runner="{{ params.runner }}",
        pipeline_options=pipeline_options("parse"),
        doc_md="""\
Reads the day's raw posts from the archive in S3, keeps the newest copy of each, and writes `posts`, `keyword_windows`,
`keyword_daily`, `challenge_daily`, `music_daily` and the day's `dead_letters`. Replaces the day as a whole.

By hand: `python -m beam_pipelines.parse --date YYYY-MM-DD`
""",
    )
    stats = RunPipeline(
        task_id="stats",
        py_interpreter=PYTHON,
        py_options=["-m"],
        py_file="beam_pipelines.stats",
        runner="{{ params.runner }}",
        pipeline_options=pipeline_options("stats", "detector"),
        doc_md="""\
Learns baselines from the days up to this one and publishes them as a new version in `baseline_versions`; a running
stream takes it up without a restart.

By hand: `python -m beam_pipelines.stats --date YYYY-MM-DD`
""",
    )
    parity = BashOperator(
        task_id="parity",
        bash_command='exec "$PYTHON" -m beam_pipelines.parity --date "$DAY" --min_mentions "$MIN_MENTIONS"',
        env=command_environment,
        append_env=True,
        cwd=str(PROJECT),
        retries=1,  # what it finds is a verdict; one more try is for a server that was away
        doc_md="""\
Compares the stream's windows with the batch's and reports each difference with its cause. Fails if one is unexplained:
then the numbers of the day need a look, but they are all there.

By hand: `python -m beam_pipelines.parity --date YYYY-MM-DD --min_mentions N`
""",
    )
    retention = BashOperator(
        task_id="retention",
        bash_command='exec "$PYTHON" -m beam_pipelines.retention --date "$DAY" --keep_days "$KEEP_DAYS"',
        env=command_environment,
        append_env=True,
        cwd=str(PROJECT),
        trigger_rule=TriggerRule.ALL_DONE,
        doc_md="""\
Drops what is older than the last `keep_days` days. Runs even if an earlier task failed: how long data may be kept does
not depend on whether a day could be read.

By hand: `python -m beam_pipelines.retention --date YYYY-MM-DD --keep_days N`
""",
    )
    outcome = EmptyOperator(
        task_id="outcome",
        doc_md="Does nothing itself. Airflow takes a run's state from its last task: this one fails if any other did.",
    )

    parse >> stats >> parity >> retention
    [parity, retention] >> outcome
