"""Quiet hours: over midnight, in other time zones, and when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from alerts.quiet import QuietHours

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "zone", "moment", "quiet"),
    [
        ("22:00-07:00", ZoneInfo("UTC"), "2026-05-04 21:59:59", False),
        ("22:00-07:00", ZoneInfo("UTC"), "2026-05-04 22:00", True),
        ("22:00-07:00", ZoneInfo("UTC"), "2026-05-05 00:00", True),
        ("22:00-07:00", ZoneInfo("UTC"), "2026-05-05 06:59:59", True),
        ("22:00-07:00", ZoneInfo("UTC"), "2026-05-05 07:00", False),
        ("12:00-13:30", ZoneInfo("UTC"), "2026-05-05 13:29", True),
        ("12:00-13:30", ZoneInfo("UTC"), "2026-05-05 11:59", False),
        ("00:00-06:00", ZoneInfo("UTC"), "2026-05-05 00:00", True),
        ("22:00-00:00", ZoneInfo("UTC"), "2026-05-05 23:59", True),
        ("22:00-00:00", ZoneInfo("UTC"), "2026-05-05 00:00", False),
        ("22:00-07:00", BERLIN, "2026-05-04 20:00", True),  # summer: two hours ahead
        ("22:00-07:00", BERLIN, "2026-01-04 20:00", False),  # winter: one
        ("22:00-07:00", BERLIN, "2026-01-04 21:00", True),
        ("22:00-07:00", BERLIN, "2026-10-25 05:30", True),  # 06:30, on the night that is an hour longer
        ("22:00-07:00", BERLIN, "2026-10-25 06:00", False),
        ("22:00-07:00", BERLIN, "2026-03-29 05:00", False),  # and on the one that is an hour shorter
        ("09:00-09:30", KOLKATA, "2026-05-04 03:45", True),
    ],
)
def test_when_it_is_quiet(hours: str, zone: ZoneInfo, moment: str, quiet: bool) -> None:
    assert QuietHours.parse(hours, zone).cover(at(moment)) is quiet


def test_the_zone_of_the_moment_does_not_matter() -> None:
    moment = at("2026-05-04 20:00")
    hours = QuietHours.parse("22:00-07:00", BERLIN)
    assert all(hours.cover(moment.astimezone(zone)) for zone in (UTC, BERLIN, KOLKATA))


def test_a_day_has_as_many_quiet_minutes_as_it_should() -> None:
    hours = QuietHours.parse("22:00-07:15", BERLIN)
    start = at("2026-05-04 00:00")
    assert sum(hours.cover(start + timedelta(minutes=minute)) for minute in range(24 * 60)) == 9 * 60 + 15


@pytest.mark.parametrize("text", ["22-7", "22:00", "24:00-07:00", "22:00-07:60", "22:00-22:00", "", "22:00 - 07:00"])
def test_what_are_no_hours(text: str) -> None:
    with pytest.raises(ValueError, match="expected HH:MM-HH:MM"):
        QuietHours.parse(text, BERLIN)
