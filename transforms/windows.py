"""Windows, panes and lateness.

Windows are tumbling, 15 minutes of event time long, on the ``time_stamp`` of a post. What advances time is the Kafka
record's timestamp, which the producer sets from ``time_stamp``: how, and how much disorder is forgiven, is the sources'
affair (``ReadFromKafka`` forgives none, so disorder is lateness). The watermark of an idle topic follows the clock, and
so closes its last window.

A window fires *early* panes, every so many seconds of processing time while it is open, one *on-time* pane when the
watermark passes its end, and *late* panes for posts that come within the allowed lateness of 15 minutes. Posts that are
later still stay out of the counts; they are in the archive, and the daily batch counts them.

Panes are fired discarding, and merged in state, so each firing costs what is new, not what the window holds so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import apache_beam as beam
import msgspec
from apache_beam.metrics.metric import Metrics
from apache_beam.transforms.trigger import AccumulationMode, AfterProcessingTime, AfterWatermark
from apache_beam.transforms.userstate import ReadModifyWriteRuntimeState, ReadModifyWriteStateSpec
from apache_beam.transforms.window import FixedWindows
from apache_beam.utils.windowed_value import PaneInfo, PaneInfoTiming

from detection.counts import WINDOW_SECONDS
from transforms.mentions import MentionBatch, merge_mentions
from transforms.packing import PackedCoder, register

ALLOWED_LATENESS_SECONDS = WINDOW_SECONDS


class Pane(IntEnum):
    """Which firing of a window; a larger one supersedes a smaller."""

    EARLY = 0
    ON_TIME = 1
    LATE = 2

    @classmethod
    def of(cls, info: PaneInfo) -> Pane:
        """Return the stage of a Beam pane; a pane without timing (bounded input) is the whole window."""
        match info.timing:
            case PaneInfoTiming.EARLY:
                return cls.EARLY
            case PaneInfoTiming.LATE:
                return cls.LATE
            case _:
                return cls.ON_TIME


@dataclass(frozen=True, slots=True, eq=False)
class CountedWindow:
    """All that is known of one shard of a window when a pane fires.

    Attributes:
        shard: number of the shard.
        pane: which firing.
        counts: mentions since the window began, not since the last pane.
    """

    shard: int
    pane: Pane
    counts: MentionBatch

    def to_bytes(self) -> bytes:
        """Pack for the wire."""
        return msgspec.msgpack.encode((self.shard, int(self.pane), self.counts.to_bytes()))

    @classmethod
    def from_bytes(cls, data: bytes) -> CountedWindow:
        """Unpack what ``to_bytes`` packed."""
        shard, pane, counts = _unpack(data)
        return cls(shard, Pane(pane), MentionBatch.from_bytes(counts))


_unpack = msgspec.msgpack.Decoder(tuple[int, int, bytes]).decode
register(CountedWindow)


@dataclass
class WindowMentions(beam.PTransform):
    """Puts ``(shard, MentionBatch)`` into its window.

    Attributes:
        early_firing_seconds: processing time between early (and between late) panes; 0: none but the on-time pane,
            and a late pane for each late batch.
        allowed_lateness_seconds: how long after its end a window takes late posts, seconds of event time.
    """

    early_firing_seconds: int = 60
    allowed_lateness_seconds: int = ALLOWED_LATENESS_SECONDS

    def expand(self, batches: beam.PCollection[tuple[int, MentionBatch]]) -> beam.PCollection[tuple[int, MentionBatch]]:
        """Apply windows, trigger and lateness."""
        every = AfterProcessingTime(self.early_firing_seconds) if self.early_firing_seconds else None
        return batches | "Tumble" >> beam.WindowInto(
            FixedWindows(WINDOW_SECONDS),
            trigger=AfterWatermark(early=every, late=every or beam.transforms.trigger.AfterCount(1)),
            accumulation_mode=AccumulationMode.DISCARDING,
            allowed_lateness=self.allowed_lateness_seconds,
        )


class _MergePanesFn(beam.DoFn):
    SO_FAR = ReadModifyWriteStateSpec("counts_so_far", PackedCoder(MentionBatch))

    def __init__(self) -> None:
        self._panes = {pane: Metrics.counter("MergePanes", f"panes.{pane.name.lower()}") for pane in Pane}

    def process(
        self,
        element: tuple[int, Iterable[MentionBatch]],
        pane_info: PaneInfo = beam.DoFn.PaneInfoParam,
        so_far: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(SO_FAR),  # noqa: B008 - Beam's way
    ) -> Iterator[tuple[int, CountedWindow]]:
        shard, new = element
        pane = Pane.of(pane_info)
        batches = list(new)
        before: MentionBatch | None = so_far.read()
        # An on-time pane without news still confirms what early panes told. Any other without news says nothing.
        if batches or (before is not None and pane is Pane.ON_TIME):
            counts = merge_mentions([*batches, before] if before is not None else batches)
            so_far.write(counts)
            self._panes[pane].inc()
            yield shard, CountedWindow(shard, pane, counts)


@dataclass
class MergePanes(beam.PTransform):
    """``(shard, MentionBatch)`` in windows → ``(shard, CountedWindow)`` for each pane that fires.

    State: the merged counts of a shard's window, dropped by the runner when the allowed lateness is over.
    """

    def expand(
        self, batches: beam.PCollection[tuple[int, MentionBatch]]
    ) -> beam.PCollection[tuple[int, CountedWindow]]:
        """Group what is new and merge it into what was there."""
        return (
            batches
            | "Group" >> beam.GroupByKey()
            | "Merge" >> beam.ParDo(_MergePanesFn()).with_output_types(tuple[int, CountedWindow])
        )
