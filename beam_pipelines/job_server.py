"""The Java process that takes a pipeline to Flink: Beam's job server, and the expansion service of ``ReadFromKafka``.

One process serves both, and it starts while Python still imports and builds; Beam by itself would start two, one after the
other. It only submits: the job goes on when it ends. With an embedded Flink it runs the job as well.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from local.part import java
from programs.errors import UserError

EMBEDDED = "[local]"
START_SECONDS = 120
_READY = re.compile(r"^READY job=(\S+) expansion=(\S+)$", re.MULTILINE)


class JobServer:
    """A job server that runs as long as the context lasts.

    Entering does not wait for it to be ready; the first look at an address does.

    Args:
        jar: its jar.
        master: ``HOST:PORT`` of Flink's REST API, or ``[local]``.

    Raises:
        StackError: there is no Java.
        UserError: the server did not come up.
    """

    def __init__(self, jar: Path, master: str) -> None:
        self._jar, self._master = jar, master
        self._addresses: tuple[str, str] | None = None

    def __enter__(self) -> Self:
        program = java()
        self._scratch = Path(tempfile.mkdtemp(prefix="beam-job-server-"))
        self._log = self._scratch / "log"
        # A submission lasts seconds: compiling for peak speed would only delay it. An embedded Flink wants the speed.
        brief = [] if self._master == EMBEDDED else ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        ports = ["--job-port=0", "--artifact-port=0", "--expansion-port=0"]
        place = ["--flink-master", self._master, "--artifacts-dir", str(self._scratch / "artifacts")]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [program, *brief, "-jar", str(self._jar), "serve", *place, *ports],
                stdin=subprocess.PIPE,  # its end tells the server to end
                stdout=output,
                stderr=output,
                process_group=0,  # Ctrl-C is for Python, which ends the server in good order
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._addresses is None:
            self._process.kill()  # still starting, it does not listen to its input yet
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def job_endpoint(self) -> str:
        """``HOST:PORT`` for the option ``--job_endpoint``."""
        return self._wait()[0]

    @property
    def expansion_service(self) -> str:
        """``HOST:PORT`` for the argument ``expansion_service`` of an external transform."""
        return self._wait()[1]

    def _wait(self) -> tuple[str, str]:
        deadline = time.monotonic() + START_SECONDS
        while self._addresses is None:
            ended = self._process.poll() is not None
            text = self._log.read_text(encoding="utf-8", errors="replace")
            if found := _READY.search(text):
                self._addresses = found[1], found[2]
            elif ended or time.monotonic() > deadline:
                end = "\n".join(text.splitlines()[-10:])
                msg = f"Beam's job server {'ended' if ended else 'is not ready'}:\n{end}"
                raise UserError(msg)
            else:
                time.sleep(0.05)
        return self._addresses
