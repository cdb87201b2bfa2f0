"""Lines that are no usable posts: kept, byte for byte, and counted by reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from feed.files import SourceError
from feed.stamping import Reason


class Rejects:
    """The file of unreadable lines of one run; it appears with the first of them, in place of an earlier run's.

    Attributes:
        path: where it is.
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
                self._file = self.path.open("wb")
            self._file.write(line + b"\n")
        except OSError as error:
            msg = f"cannot write the rejects to {self.path}: {error.strerror} (--rejects)"
            raise SourceError(msg) from None
        self.reasons[reason] += 1

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
