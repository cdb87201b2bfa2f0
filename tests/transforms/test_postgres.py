"""What a worker does while Postgres is away."""

from __future__ import annotations

from collections.abc import Callable

import psycopg2
import pytest

from detection.baselines import BaselineTable
from transforms import postgres
from transforms.baselines import PostgresBaselines


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(postgres.time, "sleep", slept.append)
    return slept


def _failing(times: int, error: Exception) -> Callable[[], str]:
    """Something that fails so often, and then answers."""
    left = [error] * times

    def attempt() -> str:
        if left:
            raise left.pop()
        return "done"

    return attempt


@pytest.mark.parametrize("error", [psycopg2.OperationalError("starting up"), psycopg2.InterfaceError("closed")])
def test_it_is_tried_again_with_growing_pauses(error: Exception, pauses: list[float]) -> None:
    retried: list[int] = []
    assert postgres.persistently(_failing(3, error), lambda: retried.append(1)) == "done"
    assert pauses == [1, 2, 4]
    assert len(retried) == 3


def test_in_the_end_it_fails(pauses: list[float]) -> None:
    with pytest.raises(psycopg2.OperationalError, match="away"):
        postgres.persistently(_failing(postgres.TRIES, psycopg2.OperationalError("away")))
    assert len(pauses) == postgres.TRIES - 1


def test_another_error_is_told_at_once(pauses: list[float]) -> None:
    with pytest.raises(psycopg2.ProgrammingError):
        postgres.persistently(_failing(1, psycopg2.ProgrammingError("no such table")))
    assert pauses == []


def test_the_first_baselines_are_waited_for_and_the_last_ones_serve(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    source = PostgresBaselines("threshold", every_seconds=0)
    first = BaselineTable.empty("threshold")
    answers = [psycopg2.OperationalError("starting up"), first, psycopg2.OperationalError("away")]

    def newest() -> BaselineTable:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(source, "_newest", newest)
    assert source.current() is first
    assert pauses == [1]
    assert source.current() is first
    assert answers == []
    assert pauses == [1]
