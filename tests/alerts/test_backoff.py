"""Pauses between attempts."""

from __future__ import annotations

import pytest

from alerts.backoff import pause


@pytest.mark.parametrize(("attempt", "longest"), [(1, 10), (2, 20), (5, 160), (9, 2560), (10, 3600), (1000, 3600)])
def test_pauses_double_up_to_an_hour_and_differ(attempt: int, longest: float) -> None:
    pauses = [pause(attempt) for _ in range(200)]
    assert all(longest / 2 <= seconds <= longest for seconds in pauses)
    assert max(pauses) - min(pauses) > longest / 10


def test_a_receiver_may_ask_for_a_longer_pause() -> None:
    assert pause(1, asked=100) == 100
    assert pause(9, asked=1) >= 1280
