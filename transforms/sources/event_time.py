"""Event time of a reader's partitions, and the watermark that follows from it.

A partition's time is its newest record's, less the tolerance for disorder. The reader's watermark is that of its slowest
partition. A partition that is read to its end and has been silent for a while is *idle*: its time is then the moment at
which the broker last said so, less the tolerance. While the broker cannot be asked nothing is idle, and time stands still.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class PartitionTime:
    """What is known of one partition.

    Attributes:
        heard: when its last record came, or when it was found; seconds of a monotonic clock.
        newest_ms: newest record timestamp so far, milliseconds since the epoch; ``None`` before the first.
        empty_at_ms: when the broker last said that nothing is left to read, if nothing has come since then.
    """

    heard: float
    newest_ms: int | None = None
    empty_at_ms: int | None = None


class EventTime:
    """Event time of the partitions of one reader.

    Args:
        out_of_orderness_ms: how much older than the newest a record may be and still count as in order.
        idle_seconds: silence after which an empty partition counts as idle.
    """

    def __init__(self, out_of_orderness_ms: int, idle_seconds: float) -> None:
        self._tolerance_ms = out_of_orderness_ms
        self._idle_seconds = idle_seconds
        self._partitions: dict[int, PartitionTime] = {}

    def add(self, partition: int, now: float) -> None:
        """Take note of a partition, at a time of the monotonic clock."""
        self._partitions.setdefault(partition, PartitionTime(now))

    def heard(self, partition: int, newest_ms: int, now: float) -> None:
        """Take note of records: the newest timestamp among them, and when they came."""
        time = self._partitions[partition]
        time.newest_ms = newest_ms if time.newest_ms is None else max(time.newest_ms, newest_ms)
        time.heard = now
        time.empty_at_ms = None

    def silent(self, now: float) -> list[int]:
        """Partitions that would be idle if they were read to their end."""
        return [partition for partition, time in self._partitions.items() if now - time.heard >= self._idle_seconds]

    def empty(self, partition: int, at_ms: int) -> None:
        """Take note that the broker has nothing more in a silent partition."""
        self._partitions[partition].empty_at_ms = at_ms

    def watermark_ms(self, now_ms: int) -> int | None:
        """Return the time that no record on time will be older than; ``None`` while a partition's time is not known.

        Args:
            now_ms: the clock, milliseconds since the epoch. A record from the future does not take the watermark there;
                a reader without any partition has nothing to wait for and follows the clock.
        """
        least = now_ms
        for time in self._partitions.values():
            known = [ms for ms in (time.newest_ms, time.empty_at_ms) if ms is not None]
            if not known:
                return None
            least = min(least, max(known))
        return least - self._tolerance_ms
