"""The programs that run beside the pipelines do without Beam: it takes seconds to import, and they need none of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from local.settings import ROOT

IMPORTED = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("program", ["dashboard.__main__", "alerts.__main__"])
def test_a_program_does_without_beam(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = done.stdout.split()
    assert program.partition(".")[0] in imported
    assert {"apache_beam", "beam_pipelines"}.isdisjoint(imported)
