"""Runs in Airflow's environment, which has no pytest: reads the DAG, runs it, and writes what it found as JSON.

    python airflow_report.py SCENARIOS OUTPUT

``SCENARIOS`` is JSON: by name, the arguments of ``run``.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.providers.apache.beam.operators.beam import BeamRunPythonPipelineOperator
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import DataInterval, TimeRestriction

DAG = "tiktok_daily"


def main() -> None:
    bag = read_dags()
    dag = bag.dags[DAG]
    report = {
        "import_errors": bag.import_errors,
        "dags": sorted(bag.dags),
        "catchup": dag.catchup,
        "caught_up": caught_up("2024-05-01"),
        "max_active_runs": dag.max_active_runs,
        "doc": dag.doc_md,
        "params": {name: [param.description, param.schema] for name, param in dag.params.items()},
        "refused": {name: refused(dag.params.get_param(name)) for name in ("parse_options", "stats_options")},
        "tasks": {task.task_id: describe(task) for task in dag.topological_sort()},
        "next": next_run(dag, DataInterval(datetime(2024, 5, 16, 3, tzinfo=UTC), datetime(2024, 5, 17, 3, tzinfo=UTC))),
        "serialised": json.dumps(DagSerialization.serialize_dag(dag), default=str),
        "runs": {name: run(copy.deepcopy(dag), **scenario) for name, scenario in json.loads(sys.argv[1]).items()},
    }
    Path(sys.argv[2]).write_text(json.dumps(report), encoding="utf-8")


def refused(param: Any) -> list[str]:
    """Return which options a param of further options does not take."""
    names = []
    for name in ("skip_broken", "job_name", "runner", "date", "detector", "parallelism", "direct_num_workers"):
        try:
            param.resolve({name: "1"})
        except ParamValidationError:
            names.append(name)
    return names


def describe(task: Any) -> dict[str, Any]:
    return {
        "downstream": sorted(task.downstream_task_ids),
        "is_beam": isinstance(task, BeamRunPythonPipelineOperator),
        "retries": task.retries,
        "retry_delay": task.retry_delay.total_seconds(),
        "backs_off": bool(task.retry_exponential_backoff),
        "timeout": task.execution_timeout.total_seconds(),
        "at_once": task.max_active_tis_per_dag,
        "reports_failure": bool(task.on_failure_callback),
        "doc": task.doc_md,
    }


def read_dags() -> DagBag:
    return DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])


def caught_up(first_day: str) -> dict[str, Any]:
    """Return whether and with which run the DAG starts if it is told its first day."""
    os.environ["BATCH_FIRST_DAY"] = first_day
    dag = read_dags().dags[DAG]
    del os.environ["BATCH_FIRST_DAY"]
    return {"catchup": dag.catchup, "first": next_run(dag, None)}


def next_run(dag: Any, last: DataInterval | None) -> dict[str, str]:
    """Return the scheduled run that follows the one with this data interval."""
    info = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).timetable.next_dagrun_info(
        last_automated_data_interval=last, restriction=TimeRestriction(dag.start_date, None, catchup=True)
    )
    return {"logical_date": info.logical_date.isoformat(), "run_after": info.run_after.isoformat()}


def run(
    dag: Any, logical_date: str | None, run_after: str, conf: dict[str, Any], environment: dict[str, str]
) -> dict[str, Any]:
    """Run the DAG as ``airflow dags test`` does, each task once."""
    for task in dag.tasks:
        task.retries = 0
    os.environ.update(environment)
    done = dag.test(
        logical_date=None if logical_date is None else datetime.fromisoformat(logical_date),
        run_after=datetime.fromisoformat(run_after),
        run_conf=conf,
    )
    return {"state": done.state, "tasks": {task.task_id: task.state for task in done.get_task_instances()}}


if __name__ == "__main__":
    main()
