"""What a failed test or benchmark leaves behind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from local import evidence, stack
from local import settings as configuration


def test_of_a_stack_that_is_gone_its_logs_are_kept(tmp_path: Path) -> None:
    settings = configuration.load({**os.environ, **stack.free_port_environment(tmp_path)})
    settings.log_dir.mkdir()
    (settings.log_dir / "taskmanager.log").write_text("".join(f"line {i}\n" for i in range(100)))
    evidence.note_jobs(settings)
    folder = evidence.keep_logs(settings, "test-evidence")
    try:
        assert (
            f"no Flink cluster answers at http://{settings.flink}"
            in json.loads((folder / "flink.json").read_text())["error"]
        )
        assert (folder / "taskmanager.log").read_text().endswith("line 99\n")
    finally:
        shutil.rmtree(folder)
    told = evidence.ends_of_logs(settings).splitlines()
    assert told[0] == f"--- end of {settings.log_dir / 'taskmanager.log'}"
    assert told[-1] == "line 99"
    assert len(told) < 50
