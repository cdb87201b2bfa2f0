#!/usr/bin/env python3
"""Start one Python worker of Beam for a Flink task manager.

Beam's container contract, without the container: the runner starts this program with the addresses of its services, the
provision service tells the pipeline's options, and the SDK harness reads its settings from the environment.

Beam discards what a worker prints: only what it logs to the task manager is seen. With PYTHON_WORKER_LOG in the environment its
output is appended to that file: why it did not start, where native code crashed, and, on SIGUSR1, what each thread is doing.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # the project's packages, in place of this folder
with suppress(KeyError, OSError):
    log = os.open(os.environ["PYTHON_WORKER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())

import grpc  # noqa: E402 - after the path is set
from apache_beam.portability.api import (  # noqa: E402
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)
from apache_beam.runners.worker import sdk_worker_main  # noqa: E402
from google.protobuf import json_format, text_format  # noqa: E402


def main() -> None:
    """Serve the runner until it closes the connection or goes away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--id", required=True, help="name of this worker, chosen by the runner")
    parser.add_argument("--provision_endpoint", required=True, help="HOST:PORT of the provision service")
    parser.add_argument("--logging_endpoint", help="HOST:PORT, if the provision service names none")
    parser.add_argument("--control_endpoint", help="HOST:PORT, if the provision service names none")
    args, _ = parser.parse_known_args()

    faulthandler.enable()  # a crash of native code shows where
    faulthandler.register(signal.SIGUSR1)  # a worker that hangs can be asked where
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), name="parent-watch", daemon=True).start()
    info = _provision(args.id, args.provision_endpoint)
    if info.dependencies:
        # Several tens of seconds of pip per worker and restart would be the alternative.
        names = ", ".join(artifact.role_urn for artifact in info.dependencies)
        print(f"{args.id}: not installing {names}: workers use the packages of {sys.prefix}", file=sys.stderr)
    scratch = tempfile.mkdtemp(prefix="beam-worker-")
    try:
        os.environ.update(
            WORKER_ID=args.id,
            PIPELINE_OPTIONS=json_format.MessageToJson(info.pipeline_options),
            SEMI_PERSISTENT_DIRECTORY=scratch,
            RUNNER_CAPABILITIES=" ".join(info.runner_capabilities),
            LOGGING_API_SERVICE_DESCRIPTOR=_descriptor(info.logging_endpoint, args.logging_endpoint),
            CONTROL_API_SERVICE_DESCRIPTOR=_descriptor(info.control_endpoint, args.control_endpoint),
        )
        if info.HasField("status_endpoint"):
            os.environ["STATUS_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(info.status_endpoint)
        sdk_worker_main.main(sys.argv)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _provision(worker: str, endpoint: str) -> beam_provision_api_pb2.ProvisionInfo:
    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        response = stub.GetProvisionInfo(request, metadata=[("worker_id", worker)], timeout=60, wait_for_ready=True)
    return response.info


def _descriptor(provisioned: endpoints_pb2.ApiServiceDescriptor, url: str | None) -> str:
    chosen = provisioned if provisioned.url else endpoints_pb2.ApiServiceDescriptor(url=url)
    return str(text_format.MessageToString(chosen))


def _exit_with_parent(parent: int) -> None:
    """A task manager that is killed cannot stop its workers: they must notice."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)  # the harness's own threads may be blocked on a peer that is gone


if __name__ == "__main__":
    main()
