"""What a source has read, as Beam's counters; the dashboard finds it by these names with either source."""

from __future__ import annotations

from apache_beam.metrics.metric import Metrics

from transforms.records import RawBatch


class ReadCounters:
    """Counters of batches and posts, for the DoFn that hands them on."""

    def __init__(self) -> None:
        self._batches = Metrics.counter("ReadPosts", "batches")
        self._posts = Metrics.counter("ReadPosts", "posts")

    def counted(self, batch: RawBatch) -> RawBatch:
        """Count a batch, and return it."""
        self._batches.inc()
        self._posts.inc(len(batch.values))
        return batch
