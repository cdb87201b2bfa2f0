"""The DAG in a real Airflow: what it is, which commands it runs for which day, and what happens when one fails.

The commands are a stand-in's here; ``tests/integration/test_airflow.py`` runs the real ones.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from local import airflow
from local import settings as configuration
from local.settings import SECRETS, Settings
from local.stack import free_port_environment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

# Writes down what it is asked to run, and fails if the module is the one that FAILING names.
STAND_IN = """\
#!/bin/sh
if [ "$1" = -c ]; then echo 2.70.0; exit; fi  # the Beam operator asks for Beam's version
echo "$PWD $*" >> "$CALLS"
test "$2" != "beam_pipelines.$FAILING"
"""

OK = {"FAILING": "nothing"}
SCENARIOS: dict[str, dict[str, Any]] = {
    "scheduled": {
        "logical_date": "2024-05-01T03:00:00+00:00",
        "run_after": "2024-05-02T03:00:00+00:00",
        "conf": {},
        "environment": OK,
    },
    "with_params": {
        "logical_date": "2024-05-03T00:00:00+00:00",
        "run_after": "2024-06-01T12:00:00+00:00",
        "conf": {
            "runner": "FlinkRunner",
            "parallelism": 3,
            "detector": "threshold",
            "keep_days": 35,
            "min_mentions": 10,
            "parse_options": {"skip_broken": True, "late_hours": 5},
            "stats_options": {"job_name": "two words; $(date)"},
        },
        "environment": OK,
    },
    "triggered_now": {
        "logical_date": "2024-05-06T10:30:00+00:00",
        "run_after": "2024-05-06T10:30:00+00:00",
        "conf": {},
        "environment": OK,
    },
    "without_logical_date": {
        "logical_date": None,
        "run_after": "2024-05-08T10:30:00+00:00",
        "conf": {},
        "environment": OK,
    },
    "parse_fails": {
        "logical_date": "2024-05-09T03:00:00+00:00",
        "run_after": "2024-05-10T03:00:00+00:00",
        "conf": {},
        "environment": {"FAILING": "parse"},
    },
    "parity_fails": {
        "logical_date": "2024-05-11T03:00:00+00:00",
        "run_after": "2024-05-12T03:00:00+00:00",
        "conf": {},
        "environment": {"FAILING": "parity"},
    },
}


@dataclass(frozen=True)
class Report:
    """What ``airflow_report.py`` found, and what it left behind.

    Attributes:
        dag: its report.
        calls: each command that was run: its folder, then its arguments.
        log: all that Airflow wrote to its logs.
        posted: what the webhook got.
        secrets: what must appear nowhere.
        database: Airflow's own, as it is on disk.
    """

    dag: dict[str, Any]
    calls: list[list[str]]
    log: str
    posted: list[dict[str, Any]]
    secrets: list[str]
    database: bytes

    def commands(self, day: str) -> list[list[str]]:
        """Return the commands of a day, without their folder, and without the labels that the Beam operator adds."""
        calls = [call[1:] for call in self.calls if day in shlex.join(call)]
        return [[word for word in call if not word.startswith("--labels=airflow-version=")] for call in calls]


@pytest.fixture(scope="module")
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a webhook, and what it is sent."""
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hooks/T0PS3CRET", posted
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a stack that need not run."""
    given = free_port_environment(tmp_path_factory.mktemp("stack"))
    return configuration.load({"PATH": os.environ["PATH"], **given})


@pytest.fixture(scope="module")
def report(
    settings: Settings, webhook: tuple[str, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> Report:
    folder = tmp_path_factory.mktemp("airflow")
    stand_in, calls, output = folder / "python", folder / "calls", folder / "report.json"
    stand_in.write_text(STAND_IN, encoding="utf-8")
    stand_in.chmod(0o755)
    address, posted = webhook
    airflow.prepare(settings)
    done = subprocess.run(
        [airflow.PYTHON, Path(__file__).with_name("airflow_report.py"), json.dumps(SCENARIOS), output],
        env={
            **airflow.environment(settings),
            "BATCH_PYTHON": str(stand_in),
            "BATCH_ALERT_WEBHOOK": address,
            "CALLS": str(calls),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-10_000:]
    home = airflow.home(settings)
    return Report(
        dag=json.loads(output.read_text(encoding="utf-8")),
        calls=[shlex.split(line) for line in calls.read_text(encoding="utf-8").splitlines()],
        log=done.stdout + done.stderr,
        posted=posted,
        secrets=[*(settings.environment[name] for name in SECRETS), "T0PS3CRET"],
        database=b"".join(file.read_bytes() for file in home.glob("airflow.db*")),
    )


def test_the_dag_is_read_without_errors(report: Report) -> None:
    assert report.dag["import_errors"] == {}
    assert report.dag["dags"] == [airflow.DAG]


def test_tasks_run_one_after_another(report: Report) -> None:
    assert {name: task["downstream"] for name, task in report.dag["tasks"].items()} == {
        "parse": ["stats"],
        "stats": ["parity"],
        "parity": ["outcome", "retention"],
        "retention": ["outcome"],
        "outcome": [],
    }
    assert [name for name, task in report.dag["tasks"].items() if task["is_beam"]] == ["parse", "stats"]


def test_every_task_is_explained_tried_again_and_reported(report: Report) -> None:
    assert "logical date" in report.dag["doc"]
    for name, task in report.dag["tasks"].items():
        assert task["doc"], name
        assert task["retries"] >= 1, name
        assert task["retry_delay"] >= 60, name
        assert task["backs_off"], name
        assert task["timeout"] > 0, name
        assert task["reports_failure"], name


def test_params_are_explained_and_validated(report: Report) -> None:
    params = report.dag["params"]
    named = ["runner", "parallelism", "detector", "keep_days", "min_mentions", "parse_options", "stats_options"]
    assert list(params) == named
    assert params["runner"][1]["enum"] == ["DirectRunner", "FlinkRunner"]
    for name, (description, schema) in params.items():
        assert description, name
        assert schema["type"], name


def test_an_option_that_has_a_param_is_refused_among_further_options(report: Report) -> None:
    names = ["runner", "date", "detector", "parallelism", "direct_num_workers"]
    assert report.dag["refused"] == {"parse_options": names, "stats_options": names}


def test_a_day_runs_after_it_has_ended(report: Report) -> None:
    assert report.dag["next"] == {
        "logical_date": "2024-05-17T03:00:00+00:00",
        "run_after": "2024-05-18T03:00:00+00:00",
    }


def test_days_do_not_run_side_by_side(report: Report) -> None:
    assert report.dag["max_active_runs"] == 1
    # Of a backfill's runs, which that does not count, each task runs for one day at a time.
    assert {task["at_once"] for task in report.dag["tasks"].values()} == {1}


def test_days_are_caught_up_from_the_first_day_if_there_is_one(report: Report) -> None:
    assert report.dag["catchup"] is False
    assert report.dag["caught_up"] == {
        "catchup": True,
        "first": {"logical_date": "2024-05-01T03:00:00+00:00", "run_after": "2024-05-02T03:00:00+00:00"},
    }


def test_the_logical_date_decides_the_day(report: Report) -> None:
    assert report.commands("2024-05-01") == [
        ["-m", "beam_pipelines.parse", "--runner=DirectRunner", "--date=2024-05-01"],
        ["-m", "beam_pipelines.stats", "--runner=DirectRunner", "--date=2024-05-01"],
        ["-m", "beam_pipelines.parity", "--date", "2024-05-01", "--min_mentions", "2"],
        ["-m", "beam_pipelines.retention", "--date", "2024-05-01", "--keep_days", "90"],
    ]
    assert {folder for folder, *_ in report.calls} == {str(configuration.ROOT)}


def test_params_reach_the_commands(report: Report) -> None:
    parse, stats, parity, retention = report.commands("2024-05-03")
    common = ["--runner=FlinkRunner", "--date=2024-05-03", "--parallelism=3"]
    assert sorted(parse[2:]) == sorted([*common, "--skip_broken", "--late_hours=5"])
    assert sorted(stats[2:]) == sorted([*common, "--detector=threshold", "--job_name=two", "words;", "$(date)"])
    assert parity[-2:] == ["--min_mentions", "10"]
    assert retention[-2:] == ["--keep_days", "35"]


@pytest.mark.parametrize(("scenario", "day"), [("triggered_now", "2024-05-05"), ("without_logical_date", "2024-05-07")])
def test_a_day_that_is_not_over_is_never_worked_on(report: Report, scenario: str, day: str) -> None:
    assert report.dag["runs"][scenario]["state"] == "success"
    assert len(report.commands(day)) == 4


def test_retention_runs_whatever_failed_and_the_run_has_failed_all_the_same(report: Report) -> None:
    assert report.dag["runs"]["scheduled"] == {
        "state": "success",
        "tasks": dict.fromkeys(("parse", "stats", "parity", "retention", "outcome"), "success"),
    }
    assert report.dag["runs"]["parity_fails"] == {
        "state": "failed",
        "tasks": {
            "parse": "success",
            "stats": "success",
            "parity": "failed",
            "retention": "success",
            "outcome": "upstream_failed",
        },
    }
    assert report.dag["runs"]["parse_fails"] == {
        "state": "failed",
        "tasks": {
            "parse": "failed",
            "stats": "upstream_failed",
            "parity": "upstream_failed",
            "retention": "success",
            "outcome": "upstream_failed",
        },
    }


def test_a_failure_is_one_line_in_the_log_and_on_the_webhook(report: Report) -> None:
    line = "tiktok_daily failed: task parse, day 2024-05-09, try 1: Apache Beam process failed with return code 1"
    assert sum(line in logged for logged in report.log.splitlines()) == 1
    assert [post["text"].split(":")[1].strip() for post in report.posted] == [
        "task parse, day 2024-05-09, try 1",
        "task parity, day 2024-05-11, try 1",
    ]
    assert report.posted[0] == {"text": line}


def test_secrets_are_in_no_command_log_or_database(report: Report) -> None:
    assert len(set(report.secrets)) == len(SECRETS) + 1
    assert b"2024-05-09" in report.database
    calls = "\n".join(map(shlex.join, report.calls))
    for secret in report.secrets:
        assert secret not in report.dag["serialised"]
        assert secret not in calls
        assert secret not in report.log
        assert secret.encode() not in report.database
