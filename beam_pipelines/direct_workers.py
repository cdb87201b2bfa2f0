"""The worker processes of Beam's DirectRunner: reached over loopback alone, never left behind, and missed when they die.

Beam 2.70 has options for none of this; the classes that it starts its workers with are replaced while a pipeline runs.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc  # type: ignore[import-untyped]
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    BeamFnControlServicer,
    ControlConnection,
    SubprocessSdkWorkerHandler,
    WorkerHandler,
)

from programs.errors import UserError

_DIED = (
    "a worker process died: {}. 137 is a process that was killed, most often because the machine's memory was full: "
    "fewer workers need less (--direct_num_workers=1)"
)


class _LoopbackGrpc:
    """The module ``grpc``, but its servers take "every interface" for loopback.

    By itself the DirectRunner opens the ports for its workers on every interface, without a login: raw posts pass through
    them, and who reaches the control port is taken for a worker. The workers ask for "localhost" anyway.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(grpc, name)

    @staticmethod
    def server(*arguments: Any, **options: Any) -> Any:
        server = grpc.server(*arguments, **options)
        add_port = server.add_insecure_port
        server.add_insecure_port = lambda address: add_port(address.replace("[::]", "localhost"))
        return server


class WorkerConnection(ControlConnection):
    """What is asked of a worker that has died is answered with an error; Beam's own waits for its answer forever."""

    def __init__(self) -> None:
        super().__init__()
        self._death = ""

    def push(self, req: Any) -> Any:
        """Ask the worker for something; its answer comes with the future."""
        future = super().push(req)
        if self._death:  # or else `died` comes later, and finds this request
            self._answer()
        return future

    def died(self, how: str) -> None:
        """Answer what the worker still owes, and all that it will be asked, with how it died."""
        self._death = how
        self._answer()

    def _answer(self) -> None:
        with suppress(KeyError):
            while True:
                request, future = self._futures_by_id.popitem()
                future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=request, error=self._death))

    def _read(self) -> None:
        with suppress(grpc.RpcError, KeyError):  # the worker is gone, or has answered what `died` had answered
            super()._read()


class _Worker(SubprocessSdkWorkerHandler):
    def __init__(self, deaths: list[str], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._deaths = deaths

    def start_worker(self) -> None:
        self.worker = local_job_service.SubprocessSdkWorker(
            self._worker_command_line, self.control_address, self.provision_info, self.worker_id
        )
        self.worker_thread = threading.Thread(name="run_worker", target=self._run, daemon=True)
        self.worker_thread.start()

    def _run(self) -> None:
        how = "it ended before its work"
        try:
            self.worker.run()
        except RuntimeError as error:
            how = str(error)
            self._deaths.append(how)
        self.control_conn.died(how)

    def close(self) -> None:
        # Beam does not tell a worker that is still starting, and then waits for its end: it has to find the word later.
        self.control_conn.push(BeamFnControlServicer._DONE_MARKER)
        super().close()


def _register(worker: Any) -> None:
    WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)(worker)


@contextmanager
def direct_workers() -> Iterator[None]:
    """While the context lasts, the DirectRunner's worker processes are of this kind.

    Raises:
        UserError: the pipeline failed, and a worker process had died.
    """
    deaths: list[str] = []
    worker_handlers.grpc = local_job_service.grpc = _LoopbackGrpc()
    worker_handlers.ControlConnection = WorkerConnection
    _register(functools.partial(_Worker, deaths))
    try:
        yield
    except UserError:
        raise
    except Exception:
        if deaths:
            raise UserError(_DIED.format(deaths[0])) from None
        raise
    finally:
        worker_handlers.grpc = local_job_service.grpc = grpc
        worker_handlers.ControlConnection = ControlConnection
        _register(SubprocessSdkWorkerHandler)
