"""Scoring: panes of counted windows, baselines and what a shard remembers → outliers and retractions.

One stateful step, in the global window, keyed by shard. Per shard it holds a ``Ledger``, small, and two states of the
detector: after the newest closed window, and after the one before. A window's first closed pane is taken in from the
state before it. So is each later pane of it, which puts the state after it in place of the earlier one: a late post is
learnt from, a pane that comes twice is taken in once. Which pane does what:

===========================  =================================  ================
pane                         scored with the state after        then
===========================  =================================  ================
early                        the newest window before its own   –
closed, newer than all       the newest window                  taken in
closed, of the newest        the window before                  taken in anew
closed, older (disorder)     the newest window before its own,  –
                             or else the oldest state there is
===========================  =================================  ================

A closed window that comes after its successor is scored rightly, but teaches nothing. Where all states are newer than
the window, they have learnt from it already; then what was told of it stands, with the new counts, and only more can be
told. A window without any post on the whole platform has no pane; to the detector it is unknown, not silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import apache_beam as beam
import msgspec
from apache_beam.metrics.metric import Metrics
from apache_beam.transforms.userstate import ReadModifyWriteRuntimeState, ReadModifyWriteStateSpec
from apache_beam.utils.shared import Shared

from detection.baselines import BaselineTable
from detection.counts import WindowCounts
from detection.detector import Detector, State
from transforms.baselines import Baselines
from transforms.outliers import Announced, ScoredWindow, outliers_of, retract, uphold
from transforms.windows import CountedWindow, Pane

NOTHING: Final = -1
"""In place of the start of a window: the slot is empty."""


@dataclass(frozen=True)
class Ledger:
    """What a shard knows beside its two states.

    Attributes:
        ends: start of the window after which the state in each of the two slots stands; ``NOTHING`` if it is empty.
        announced: what was told of the windows of the last hours, by window start.
    """

    ends: tuple[int, int]
    announced: dict[int, Announced]

    def to_bytes(self) -> bytes:
        """Pack for the state."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes | None) -> Ledger:
        """Unpack what ``to_bytes`` packed; a new ledger from None."""
        return _unpack_ledger(data) if data else cls((NOTHING, NOTHING), {})


_unpack_ledger = msgspec.msgpack.Decoder(Ledger).decode


def slots(ends: tuple[int, int], window_start: int, pane: Pane) -> tuple[int | None, int | None]:
    """Return the slot of the state to score a pane with, and the slot that then takes the state after it.

    Args:
        ends: as in ``Ledger``.
        window_start: start of the pane's window, epoch seconds.
        pane: which firing.

    Returns:
        The slot to read, None for a new state; the slot to write, None if the pane is not to be taken in.
    """
    filled = [slot for slot in (0, 1) if ends[slot] != NOTHING]
    before = [slot for slot in filled if ends[slot] < window_start]
    read = max(before, key=ends.__getitem__, default=None)
    if read is None and window_start < max(ends):
        read = min(filled, key=ends.__getitem__)  # all are too new: the oldest is the least wrong
    if pane is Pane.EARLY or window_start < max(ends):
        return read, None
    if window_start in ends:
        return read, ends.index(window_start)
    return read, 1 - read if read is not None else 0


def score_pane(
    window: CountedWindow, baselines: BaselineTable, detector: Detector, state: State, *, take_in: bool
) -> tuple[ScoredWindow, State]:
    """Score one pane; return its outliers, and the state after it if it is to be taken in."""
    batch = window.counts
    counts = WindowCounts(batch.window_start, float(batch.posts), batch.keywords, batch.mentions)
    if take_in:
        scores, state = detector.step(counts, baselines, state)
    else:
        scores = detector.score(counts, baselines, state, partial=window.pane is Pane.EARLY)
    return ScoredWindow(window, outliers_of(window, scores, baselines.version, detector.name)), state


class Cell(Protocol):
    """A cell of state, such as Beam's."""

    def read(self) -> bytes | None:
        """Return what was written last; None if nothing was."""
        ...

    def write(self, value: bytes) -> None:
        """Put in place of what was there."""
        ...


def score_in_shard(
    window: CountedWindow,
    baselines: BaselineTable,
    detector: Detector,
    ledger_cell: Cell,
    state_cells: tuple[Cell, Cell],
) -> tuple[ScoredWindow, bool]:
    """Score a pane with what its shard remembers, and remember it.

    Args:
        window: the pane.
        baselines: the table in force.
        detector: what judges.
        ledger_cell: holds the shard's ``Ledger``.
        state_cells: hold the detector's states.

    Returns:
        The pane with outliers and retractions, and whether it was taken in.
    """
    ledger, start = Ledger.from_bytes(ledger_cell.read()), window.counts.window_start
    read, write = slots(ledger.ends, start, window.pane)
    packed = None if read is None else state_cells[read].read()
    state = detector.new_state() if packed is None else detector.state_from_bytes(packed)
    scored, state = score_pane(window, baselines, detector, state, take_in=write is not None)
    ends = ledger.ends
    if write is not None:
        state_cells[write].write(state.to_bytes())
        ends = (start, ends[1]) if write == 0 else (ends[0], start)
    if read is not None and ledger.ends[read] >= start and start in ledger.announced:
        scored = uphold(scored, ledger.announced[start].outliers)
    scored, announced = retract(scored, ledger.announced)
    if ends != ledger.ends or announced is not ledger.announced:
        ledger_cell.write(Ledger(ends, announced).to_bytes())
    return scored, write is not None


class _ScoreFn(beam.DoFn):
    LEDGER = ReadModifyWriteStateSpec("ledger", beam.coders.BytesCoder())
    FIRST = ReadModifyWriteStateSpec("state_0", beam.coders.BytesCoder())
    SECOND = ReadModifyWriteStateSpec("state_1", beam.coders.BytesCoder())

    def __init__(self, detector: Detector, baselines: Callable[[], Baselines]) -> None:
        self._detector = detector
        self._make_baselines = baselines
        self._shared = Shared()
        self._keywords = Metrics.counter("ScoreWindows", "keywords")
        self._disordered = Metrics.counter("ScoreWindows", "windows.disordered")
        self._outliers = {
            status: Metrics.counter("ScoreWindows", f"outliers.{status}")
            for status in ("provisional", "confirmed", "retracted")
        }

    def setup(self) -> None:
        self._baselines = self._shared.acquire(self._make_baselines)

    def process(
        self,
        element: tuple[int, CountedWindow],
        ledger: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(LEDGER),  # noqa: B008 - Beam's way
        first: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(FIRST),  # noqa: B008
        second: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(SECOND),  # noqa: B008
    ) -> Iterator[ScoredWindow]:
        _, window = element
        scored, taken = score_in_shard(window, self._baselines.current(), self._detector, ledger, (first, second))
        if not taken and window.pane is not Pane.EARLY:
            self._disordered.inc()
        self._keywords.inc(len(window.counts.keywords))
        for outlier in scored.outliers:
            self._outliers[outlier.status].inc()
        yield scored


@dataclass
class ScoreWindows(beam.PTransform):
    """``(shard, CountedWindow)`` → ``ScoredWindow`` with retractions, in the global window.

    State: per shard, the detector's state after the last two closed windows, and what was announced of the windows of
    the last hours.

    Attributes:
        detector: what judges.
        baselines: makes the source of the table in force; called once in each worker process.
    """

    detector: Detector
    baselines: Callable[[], Baselines]

    def expand(self, windows: beam.PCollection[tuple[int, CountedWindow]]) -> beam.PCollection[ScoredWindow]:
        """Score each pane, and compare it with what was announced before."""
        return (
            windows
            | "Globally" >> beam.WindowInto(beam.window.GlobalWindows()).with_output_types(tuple[int, CountedWindow])
            | "Score" >> beam.ParDo(_ScoreFn(self.detector, self.baselines)).with_output_types(ScoredWindow)
        )
