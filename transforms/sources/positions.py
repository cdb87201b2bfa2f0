"""Where a reader of Kafka is: the restriction of a splittable DoFn, and the tracker that moves it.

The next offset of each partition is part of what the runner checkpoints, together with everything that was made of the
records before it. That is what makes the counts exact after a failure; offsets committed to Kafka have no part in it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import apache_beam as beam
import msgspec
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.transforms.core import RestrictionProvider

from transforms.packing import PackedCoder


class Positions(NamedTuple):
    """What a reader has still to read: all partitions of its own, each from an offset on, without end.

    Attributes:
        offsets: next offset by partition.
        started: whether the reader has looked for its partitions yet. Those found at the start begin where the job is
            told to begin, those found later at their first record.
    """

    offsets: dict[int, int]
    started: bool

    def to_bytes(self) -> bytes:
        """Pack for the runner's state."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Unpack what ``to_bytes`` packed."""
        return cls(*_unpack(data))


_unpack = msgspec.msgpack.Decoder(tuple[dict[int, int], bool]).decode


class Claim(NamedTuple):
    """A step forward in one partition: all that lies before ``next_offset`` is about to be processed."""

    partition: int
    next_offset: int


class PositionTracker(RestrictionTracker):
    """Moves a reader's positions. It has no end, so it stops only by handing the rest over: a self-checkpoint.

    Splitting the work itself is refused: a reader's partitions are its own for good.
    """

    def __init__(self, restriction: Positions) -> None:
        self._restriction = restriction
        self._offsets = dict(restriction.offsets)
        self._started = restriction.started
        self._stopped = False

    def current_restriction(self) -> Positions:
        """What this call of ``process`` began with, or all that it has done once it is stopped."""
        return self._restriction

    def try_claim(self, position: Claim | None) -> bool:
        """Take a step; ``None`` says that all partitions which were there at the start are known.

        Raises:
            ValueError: a step back. The topic was deleted and made again, or cut off, below the reader.
        """
        if self._stopped:
            return False
        if position is None:
            self._started = True
            return True
        before = self._offsets.get(position.partition, 0)
        if position.next_offset < before:
            msg = (
                f"partition {position.partition} goes back from offset {before} to {position.next_offset}: "
                "was the topic made anew? Then start a new job"
            )
            raise ValueError(msg)
        self._offsets[position.partition] = position.next_offset
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Positions, Positions] | None:
        """Hand over all that is not claimed yet, if everything is asked for."""
        if self._stopped or fraction_of_remainder != 0:
            return None
        self._stopped = True
        return self._restriction, Positions(dict(self._offsets), self._started)

    def check_done(self) -> bool:
        """Tell that nothing is left undone.

        Raises:
            ValueError: the reader returned without handing the rest over.
        """
        if not self._stopped:
            msg = "a reader of a topic ended, but a topic has no end"
            raise ValueError(msg)
        return True

    def current_progress(self) -> RestrictionProgress:
        """Half done, always: there is no end to measure by."""
        return RestrictionProgress(fraction=0.5)

    def is_bounded(self) -> bool:
        """Tell that more will come."""
        return False


class PositionsProvider(RestrictionProvider):
    """Starts a reader without positions: it finds its partitions when it runs, so pairing needs no broker."""

    def initial_restriction(self, element: Any) -> Positions:  # noqa: ARG002 - Beam's signature
        """No partition is known yet."""
        return Positions({}, started=False)

    def create_tracker(self, restriction: Positions) -> PositionTracker:
        """Track one call of ``process``."""
        return PositionTracker(restriction)

    def restriction_size(self, element: Any, restriction: Positions) -> float:  # noqa: ARG002 - Beam's signature
        """All readers weigh the same: the rest of a topic has no size."""
        return 1.0

    def restriction_coder(self) -> beam.coders.Coder:
        """Pack positions by themselves."""
        return PackedCoder(Positions)
