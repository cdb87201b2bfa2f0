"""Scoring: panes of counted windows, baselines and what a shard remembers → outliers and retractions.

One stateful step, in the global window, keyed by shard. Per shard it holds a ``Ledger``, small, and ``KEPT`` states of the
detector, each as it was after one of the newest closed windows. Which pane does what:

=====================  =====================================  ==========================================
pane                   scored with the state after            then
=====================  =====================================  ==========================================
early                  the newest window before its own       –
closed, newer than all the newest window                      taken in
closed, of the newest  the window before                      taken in anew, in place of the earlier pane
closed, older          the newest window before its own       –
the same, no such left –                                      what was told stands, with the new counts
=====================  =====================================  ==========================================

Where no window came before, the state is a new one. So a pane that comes twice is taken in once, and late posts of the
newest window are learnt from. With windows and an allowed lateness of 15 minutes, late panes come while the state
before their window is still there, but for replays, which close many windows at once. A window without any post on the
whole platform has no pane; to the detector it is unknown, not silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from transforms.outliers import Announced, ScoredWindow, drops_of, outliers_of, retract, uphold
from transforms.windows import CountedWindow, Pane

KEPT: Final = 3
"""States kept per shard: enough to judge a late pane of the window before the newest."""

NOTHING: Final = -1
"""In place of the start of a window: the slot is empty."""


@dataclass(frozen=True)
class Ledger:
    """What a shard knows beside the detector's states.

    Attributes:
        ends: start of the window after which the state in each slot stands; ``NOTHING`` if the slot is empty.
        announced: what was told of the windows of the last hours, by window start.
    """

    ends: tuple[int, ...]
    announced: dict[int, Announced]

    def to_bytes(self) -> bytes:
        """Pack for the state."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes | None) -> Ledger:
        """Unpack what ``to_bytes`` packed; a new ledger from None."""
        return _unpack_ledger(data) if data else cls((NOTHING,) * KEPT, {})

    def with_end(self, slot: int, window_start: int) -> tuple[int, ...]:
        """Return the ends when a slot has taken the state after a window."""
        return (*self.ends[:slot], window_start, *self.ends[slot + 1 :])


_unpack_ledger = msgspec.msgpack.Decoder(Ledger).decode


@dataclass(frozen=True)
class Place:
    """What a pane is to be scored with, and where the state after it goes.

    Attributes:
        read: slot of the state to score with; None for a new state: no window came before.
        write: slot that takes the state after it; None if it is not to be taken in.
        judged: whether what was known before the window is still there; if not, the pane cannot be scored.
    """

    read: int | None
    write: int | None
    judged: bool = True


def place(ends: Sequence[int], window_start: int, pane: Pane) -> Place:
    """Find the place of a pane.

    Args:
        ends: as in ``Ledger``.
        window_start: start of the pane's window, epoch seconds.
        pane: which firing.
    """
    newest = max(ends)
    before = [slot for slot, end in enumerate(ends) if NOTHING != end < window_start]
    read = max(before, key=ends.__getitem__, default=None)
    if window_start < newest:
        forgotten = read is None and NOTHING not in ends  # a state was there, and its slot has been taken since
        return Place(read, None, judged=not forgotten)
    if pane is Pane.EARLY:
        return Place(read, None)
    return Place(read, ends.index(newest if window_start == newest else min(ends)))


def score_pane(
    window: CountedWindow, baselines: BaselineTable, detector: Detector, state: State, *, take_in: bool
) -> tuple[ScoredWindow, State]:
    """Score one pane; return its outliers, and the state after it if it is to be taken in.

    Drops are told of what is taken in: whether a keyword is silent shows when its window has closed.
    """
    batch = window.counts
    counts = WindowCounts(batch.window_start, float(batch.posts), tuple(batch.words()), batch.mentions)
    if take_in:
        scores, state = detector.step(counts, baselines, state)
        silent, silence = detector.drops(counts, baselines, state)
        drops = drops_of(window, silent, silence, baselines.version, detector.name)
    else:
        scores, drops = detector.score(counts, baselines, state, partial=window.pane is Pane.EARLY), []
    return ScoredWindow(window, outliers_of(window, scores, baselines.version, detector.name) + drops), state


class Cell(Protocol):
    """A cell of state, such as Beam's."""

    def read(self) -> bytes | None:
        """Return what was written last; None if nothing was."""
        ...

    def write(self, value: bytes) -> None:
        """Put in place of what was there."""
        ...


def score_in_shard(
    window: CountedWindow, baselines: BaselineTable, detector: Detector, ledger_cell: Cell, state_cells: Sequence[Cell]
) -> tuple[ScoredWindow, Place]:
    """Score a pane with what its shard remembers, and remember it.

    Args:
        window: the pane.
        baselines: the table in force.
        detector: what judges.
        ledger_cell: holds the shard's ``Ledger``.
        state_cells: hold the detector's states, ``KEPT`` of them.

    Returns:
        The pane with outliers and retractions, and what was done with it.
    """
    ledger, start = Ledger.from_bytes(ledger_cell.read()), window.counts.window_start
    at, ends = place(ledger.ends, start, window.pane), ledger.ends
    told = ledger.announced[start].outliers if start in ledger.announced else []
    if at.judged:
        packed = None if at.read is None else state_cells[at.read].read()
        state = detector.new_state() if packed is None else detector.state_from_bytes(packed)
        scored, state = score_pane(window, baselines, detector, state, take_in=at.write is not None)
        if at.write is not None:
            state_cells[at.write].write(state.to_bytes())
            ends = ledger.with_end(at.write, start)
        else:
            drops = [outlier for outlier in told if outlier.is_drop]
            scored = ScoredWindow(window, scored.outliers + uphold(window, drops).outliers)
    else:
        scored = uphold(window, told)
    scored, announced = retract(scored, ledger.announced)
    if ends != ledger.ends or announced is not ledger.announced:
        ledger_cell.write(Ledger(ends, announced).to_bytes())
    return scored, at


class _ScoreFn(beam.DoFn):
    LEDGER = ReadModifyWriteStateSpec("ledger", beam.coders.BytesCoder())
    FIRST = ReadModifyWriteStateSpec("state_0", beam.coders.BytesCoder())
    SECOND = ReadModifyWriteStateSpec("state_1", beam.coders.BytesCoder())
    THIRD = ReadModifyWriteStateSpec("state_2", beam.coders.BytesCoder())

    def __init__(self, detector: Detector, baselines: Callable[[], Baselines]) -> None:
        self._detector = detector
        self._make_baselines = baselines
        self._shared = Shared()
        self._keywords = Metrics.counter("ScoreWindows", "keywords")
        self._not_taken_in = Metrics.counter("ScoreWindows", "panes.not_taken_in")
        self._not_judged = Metrics.counter("ScoreWindows", "panes.not_judged")
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
        third: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(THIRD),  # noqa: B008
    ) -> Iterator[ScoredWindow]:
        _, window = element
        cells = (first, second, third)
        scored, at = score_in_shard(window, self._baselines.current(), self._detector, ledger, cells)
        if window.pane is not Pane.EARLY:
            self._not_taken_in.inc(at.write is None)
            self._not_judged.inc(not at.judged)
        self._keywords.inc(len(window.counts.keywords))
        for outlier in scored.outliers:
            self._outliers[outlier.status].inc()
        yield scored


@dataclass
class ScoreWindows(beam.PTransform):
    """``(shard, CountedWindow)`` → ``ScoredWindow`` with retractions, in the global window.

    State: per shard, the detector's states after the last closed windows, and what was announced of the windows of
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
