"""Lines that are no usable posts: kept, byte for byte, and counted by reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from feed.files import SourceError
from feed.stamping import Reason


class Rejects:
    """The file of unreadable lines of one run; it appears with the first of them.

    A file that is there already stays: this run may be reading it, another may be writing it, and nobody else has the lines
    of an earlier one. Then the next free of ``rejects-2.ndjson``, ``rejects-3.ndjson``, … is taken.

    Attributes:
        path: where it is; final once a line has been written.
        reasons: how many lines were rejected for each reason.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reasons: Counter[Reason] = Counter()
        self._file: IO[bytes] | None = None

    def write(self, line: bytes, reason: Reason) -> None:
        """Keep a line.

        Raises:
            SourceError: the file cannot be written.
        """
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._open()
            self._file.write(line + b"\n")
        except OSError as error:
            msg = f"cannot write the rejects to {self.path}: {error.strerror} (--rejects)"
            raise SourceError(msg) from None
        self.reasons[reason] += 1

    def _open(self) -> IO[bytes]:
        if self.path.exists() and not self.path.is_file():  # /dev/null, a pipe
            return self.path.open("wb")
        wanted, number = self.path, 1
        while True:
            try:
                return self.path.open("xb")
            except FileExistsError:
                number += 1
                self.path = wanted.with_stem(f"{wanted.stem}-{number}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def describe(reasons: Counter[Reason]) -> str:
    """Put reasons into words, the most frequent first: ``3 not_json, 1 bad_id``."""
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
