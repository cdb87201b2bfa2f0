"""Running bounded pipelines, one after another: on the DirectRunner with a process per core, or on Flink."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from beam_pipelines import flink
from beam_pipelines.direct_workers import direct_workers
from beam_pipelines.job_server import EMBEDDED, JobServer
from programs.errors import UserError

BATCH_RUNNERS = "DirectRunner or FlinkRunner; default: %(default)s"
"""Help of ``--runner``."""

_DIRECT = {
    "direct_running_mode": "multi_processing",
    "direct_num_workers": "0",  # as many as there are cores
    "default_sdk_harness_log_level": "ERROR",  # its workers tell at length how they start and end
}

_USER_ERROR = f"{UserError.__module__}.{UserError.__qualname__}: "
_REFUSED = re.compile(rf"{re.escape(_USER_ERROR)}(.+) \[while running '")


def _tells_no_user_error(record: logging.LogRecord) -> bool:
    return _USER_ERROR not in logging.Formatter().format(record)


@contextmanager
def told_as_raised() -> Iterator[None]:
    """Raise a step's UserError again: of what a worker raised only the text gets here, after Beam has logged its stack."""
    handlers = list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(_tells_no_user_error)
    try:
        yield
    except Exception as error:
        if refused := _REFUSED.search(str(error)):
            raise UserError(refused[1]) from None
        raise
    finally:
        for handler in handlers:
            handler.removeFilter(_tells_no_user_error)


class BatchRunner:
    """Runs pipelines by the options of a command line.

    Args:
        argv: the command line; options that it does not give get their defaults.
        job_name: the default of ``--job_name``.
    """

    def __init__(self, argv: Sequence[str], job_name: str) -> None:
        self.on_flink = flink.wants_flink(argv)
        arguments = list(argv)
        if self.on_flink:
            arguments = flink.with_defaults(argv, job_name)
        elif flink.option(argv, "runner") in ("", "DirectRunner"):
            arguments += [f"--{name}={value}" for name, value in _DIRECT.items() if not flink.option(argv, name)]
        self.arguments = arguments
        self._server: JobServer | None = None

    def __enter__(self) -> Self:
        if self.on_flink:
            details = PipelineOptions(self.arguments).get_all_options()
            master = details["flink_master"]
            if master != EMBEDDED:
                flink.Cluster(master).check_slots(int(details["parallelism"]))
            self._server = JobServer(flink.job_server_jar(), master)
            self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.__exit__(kind, error, trace)

    def run(self, build: Callable[[beam.Pipeline], object]) -> None:
        """Build a pipeline, run it and wait for its end.

        Raises:
            UserError: a step raised it, or a worker process died.
            Exception: whatever else a runner makes of a failure.
        """
        options = PipelineOptions(self.arguments)
        if self._server is not None:
            options.view_as(PortableOptions).job_endpoint = self._server.job_endpoint
        pipeline = beam.Pipeline(options=options)
        build(pipeline)
        with direct_workers(), told_as_raised():
            result = pipeline.run()
            try:
                result.wait_until_finish()
            except KeyboardInterrupt:
                result.cancel()
                raise
