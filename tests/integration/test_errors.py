"""What a user sees when something is missing: one line that says what, and what to do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from beam_pipelines.flink import TERMINAL_STATES, Cluster
from local.settings import ROOT, Settings

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("options", "environment", "says"),
    [
        (["--detecter=x"], {}, "unknown option --detecter: did you mean --detector?"),
        (["--shards=0"], {}, "--shards=0: expected 1 to 1024"),
        (["--max_bundle_size=20000"], {}, "--max_bundle_size=20000 could stall the job"),
        ([], {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "no Kafka broker at 127.0.0.1:1"),
        ([], {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "GSSAPI"}, "take --source=librdkafka"),
        (["--topic_posts=nope"], {}, "Kafka has no topic 'nope'"),
        ([], {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, "no S3 at http://127.0.0.1:1"),
        (["--lake=s3://no-such-bucket"], {}, "the bucket of s3://no-such-bucket does not exist"),
        ([], {"PGPORT": "1"}, "no connection to Postgres"),
        ([], {"PGDATABASE": "postgres"}, "Postgres has no table 'outliers'"),
        ([], {"FLINK_MASTER": "127.0.0.1:1"}, "no Flink cluster answers at http://127.0.0.1:1"),
        (["--parallelism=99"], {}, "free slots of 2, 99 are needed"),
    ],
)
def test_one_line_says_what_is_wrong(
    stack: Settings, options: list[str], environment: dict[str, str], says: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "beam_pipelines.stream", "--runner=FlinkRunner", *options],
        cwd=ROOT,
        env={**stack.environment, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("seconds", [1.0, 3.0])
def test_a_stop_during_a_submission_leaves_no_job_behind(stack: Settings, seconds: float) -> None:
    command = [sys.executable, "-m", "beam_pipelines.stream", "--runner=FlinkRunner", "--job_name=unwanted"]
    with subprocess.Popen(command, cwd=ROOT, env=stack.environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert next(process.stderr).startswith("submitting unwanted")
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)  # is taken as Ctrl-C, which may be ignored in the background
        told = process.stderr.read()
    assert process.returncode == 130, told
    time.sleep(1)
    unwanted = [job["state"] for job in Cluster(str(stack.flink)).jobs() if job["name"] == "unwanted"]
    assert set(unwanted) <= TERMINAL_STATES
