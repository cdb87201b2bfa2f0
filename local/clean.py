"""``make clean``: stop the stack and delete what it has stored, unless another stack lives in build/, which goes next."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from local import airflow, stack, supervisor, web
from local import settings as configuration
from local.settings import ROOT, Settings, StackError

BUILD = ROOT / "build"


def main() -> int:
    """Return 0 when nothing runs below build/ any more, and nothing of the stack is left."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        settings = configuration.load(bare=True)
        for folder, process in others(settings).items():
            message = (
                f"a stack runs in {folder} (process {process}), and its data would be deleted: wait for the test or "
                f"benchmark that it belongs to, or stop it with `STACK_DIR={folder} .venv/bin/python -m local down`"
            )
            raise StackError(message)
        airflow.down(settings)
        web.down(settings)
        stack.down(settings)
        stack.discard(settings)
    except StackError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    return 0


def others(settings: Settings) -> dict[Path, int]:
    """Return the folders of other stacks below build/ that run, with the process ids of their supervisors."""
    own = {settings.stack_dir, *map(settings.place, stack.INNER)}
    found = {}
    for file in BUILD.resolve().rglob(f"run/{supervisor.PID_FILE}"):
        folder = file.parent.parent
        if folder not in own and (process := supervisor.running(file.parent)):
            found[folder.parent if folder.name in stack.INNER else folder] = process
    return found


if __name__ == "__main__":
    sys.exit(main())
