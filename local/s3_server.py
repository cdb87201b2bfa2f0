"""nanio, started on what a killed one left: ``python -m local.s3_server DATA_DIR --host … --port …``.

nanio 0.1.7 replaces an object and then the file of its metadata, which has its size. A kill between the two leaves

- a half-written file of metadata, and every later write of the object fails, for that file is there;
- metadata older than the object, and readers get as many bytes of it as the object before it had;
- a half-written object, which is listed under a name of its own.

Before it serves, all three are deleted; an object without metadata is told by its file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from nanio.cli import main as nanio
from nanio.storage.paths import META_DIR_NAME

_HALF_METADATA = ".json.tmp"
_METADATA = ".json"
_HALF_OBJECT = re.compile(r"\.tmp\.[0-9a-f]{32}")


def mend(data_dir: Path) -> list[Path]:
    """Delete what writes that were killed have left in a folder that no server uses; return what was deleted."""
    left: list[Path] = []
    for bucket in data_dir.iterdir():
        about = bucket / META_DIR_NAME
        for path in filter(Path.is_file, bucket.rglob("*")):
            if about in path.parents:
                if path.name.endswith(_HALF_METADATA) or _is_outdated(path, bucket, about):
                    left.append(path)
            elif _HALF_OBJECT.fullmatch(path.name):
                left.append(path)
    for path in left:
        path.unlink()
    return left


def _is_outdated(metadata: Path, bucket: Path, about: Path) -> bool:
    if not metadata.name.endswith(_METADATA):
        return False
    described = bucket / metadata.relative_to(about).with_name(metadata.name.removesuffix(_METADATA))
    return described.is_file() and described.stat().st_mtime_ns > metadata.stat().st_mtime_ns


def main(arguments: Sequence[str]) -> int:
    """Mend, then serve until told to end."""
    data_dir, *options = arguments
    for path in mend(Path(data_dir)):
        print(f"deleted, left by a write that was killed: {path}", flush=True)
    return int(nanio(["serve", "--data-dir", data_dir, "--no-access-log", *options]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
