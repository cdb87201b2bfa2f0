"""Quiet hours: a time of day, every day, in which nothing is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from typing import Self
from zoneinfo import ZoneInfo

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True)
class QuietHours:
    """From ``start`` until before ``end``, on the clock of ``zone``; over midnight if ``end`` is the earlier one.

    Attributes:
        start: first quiet minute.
        end: first minute that is no longer quiet.
        zone: whose clock.
    """

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str, zone: ZoneInfo) -> Self:
        """Read ``HH:MM-HH:MM``.

        Raises:
            ValueError: it is not of that form, or has no length.
        """
        match = _HOURS.fullmatch(text)
        if match is None or match.groups()[:2] == match.groups()[2:]:
            msg = f"{text!r}: expected HH:MM-HH:MM such as 22:00-07:00"
            raise ValueError(msg)
        first, first_minute, last, last_minute = map(int, match.groups())
        return cls(time(first, first_minute), time(last, last_minute), zone)

    def cover(self, moment: datetime) -> bool:
        """Tell if an aware moment is quiet."""
        clock = moment.astimezone(self.zone).time()
        if self.start < self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M} {self.zone.key}"
