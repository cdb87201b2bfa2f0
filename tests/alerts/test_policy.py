"""Which message follows from which change."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incidents import Incident, Stage
from alerts.policy import Add, Change, Revise, State, Told, Withdraw, plan
from tests.alerts.incident import NOON, incident

BEFORE = NOON - timedelta(hours=1)
SEVERITIES = ("high", "critical")
OPENED, CONFIRMED, CLOSED, RETRACTED = (
    incident(),
    incident(status="confirmed"),
    incident(status="confirmed", state="closed"),
    incident(state="retracted"),
)


def sent(*stages: Stage) -> list[Told]:
    return [Told(i, stage, State.SENT, 1, BEFORE) for i, stage in enumerate(stages)]


def waiting(stage: Stage) -> Told:
    return Told(9, stage, State.PENDING, 0, BEFORE)


def decide(now: Incident, *told: Told) -> Change | None:
    return plan(now, told, SEVERITIES, BEFORE)


@pytest.mark.parametrize("now", [OPENED, CONFIRMED])
def test_a_new_incident_is_announced_once(now: Incident) -> None:
    assert decide(now) == Add(Stage.OPENED, State.PENDING)
    assert decide(now, *sent(now.stage)) is None


@pytest.mark.parametrize(
    "now",
    [
        incident(severity="medium"),
        RETRACTED,
        CLOSED,  # nobody was told while it went on: it is no news now
        incident(updated_at=BEFORE - timedelta(seconds=1)),  # the channel is younger
    ],
)
def test_what_is_not_announced(now: Incident) -> None:
    assert decide(now) is None


def test_the_watchlist_is_announced_whatever_the_severity() -> None:
    assert decide(incident(severity="low", watched=True)) == Add(Stage.OPENED, State.PENDING)


@pytest.mark.parametrize(
    ("told", "now", "event"),
    [
        ([Stage.OPENED], CONFIRMED, Stage.CONFIRMED),
        ([Stage.OPENED], CLOSED, Stage.CLOSED),
        ([Stage.OPENED], RETRACTED, Stage.RETRACTED),
        ([Stage.CONFIRMED], CLOSED, Stage.CLOSED),  # it was announced when it was confirmed already
        ([Stage.OPENED, Stage.CONFIRMED], CLOSED, Stage.CLOSED),
        ([Stage.OPENED, Stage.CONFIRMED, Stage.CLOSED], RETRACTED, Stage.RETRACTED),
        ([Stage.OPENED, Stage.RETRACTED], CONFIRMED, Stage.CONFIRMED),  # a still later count brings it back
        ([Stage.OPENED, Stage.CONFIRMED], OPENED, None),
        ([Stage.OPENED, Stage.CLOSED], CONFIRMED, None),
        ([Stage.OPENED, Stage.CONFIRMED, Stage.CLOSED], CONFIRMED, None),
        ([Stage.OPENED, Stage.RETRACTED], RETRACTED, None),
    ],
)
def test_updates(told: list[Stage], now: Incident, event: Stage | None) -> None:
    assert decide(now, *sent(*told)) == (event and Add(event, State.PENDING))


def test_an_update_does_not_depend_on_severity() -> None:
    assert decide(incident(severity="low", status="confirmed"), *sent(Stage.OPENED)) is not None


def test_more_mentions_are_no_update() -> None:
    assert decide(incident(peak_mentions=9999), *sent(Stage.OPENED)) is None


@pytest.mark.parametrize("now", [OPENED, CONFIRMED, CLOSED])
def test_an_announcement_that_waits_is_brought_up_to_date(now: Incident) -> None:
    assert decide(now, waiting(Stage.OPENED)) == Revise(9, Stage.OPENED)


def test_an_announcement_that_waits_is_withdrawn_with_its_incident() -> None:
    assert decide(RETRACTED, waiting(Stage.OPENED)) == Withdraw(9)


def test_an_update_that_waits_becomes_the_newer_one() -> None:
    assert decide(CLOSED, *sent(Stage.OPENED), waiting(Stage.CONFIRMED)) == Revise(9, Stage.CLOSED)


def test_an_update_that_waits_is_withdrawn_when_it_is_no_longer_so() -> None:
    assert decide(OPENED, *sent(Stage.OPENED), waiting(Stage.CONFIRMED)) == Withdraw(9)
    assert decide(CONFIRMED, *sent(Stage.OPENED, Stage.CONFIRMED), waiting(Stage.RETRACTED)) == Withdraw(9)


def test_what_was_tried_once_is_never_changed() -> None:
    tried = replace(waiting(Stage.OPENED), attempts=1)
    assert decide(incident(peak_mentions=9999), tried) is None
    assert decide(CONFIRMED, tried) == Add(Stage.CONFIRMED, State.PENDING)


def test_without_a_change_nothing_happens() -> None:
    assert decide(OPENED, replace(waiting(Stage.OPENED), incident_at=NOON)) is None


def test_what_began_in_silence_stays_silent() -> None:
    assert decide(incident(muted=True)) == Add(Stage.OPENED, State.MUTED)
    assert decide(CONFIRMED, replace(waiting(Stage.OPENED), state=State.MUTED)) is None


def test_what_was_given_up_was_told_as_far_as_we_know() -> None:
    given_up = Told(0, Stage.OPENED, State.FAILED, 12, BEFORE)
    assert decide(OPENED, given_up) is None
    assert decide(CLOSED, given_up) == Add(Stage.CLOSED, State.PENDING)


@given(st.lists(st.tuples(st.sampled_from([OPENED, CONFIRMED, CLOSED, RETRACTED]), st.booleans()), max_size=12))
def test_whatever_happens_each_stage_is_told_once_at_most_and_the_announcement_comes_first(
    course: list[tuple[Incident, bool]],
) -> None:
    outbox: list[Told] = []
    events: list[Stage] = []
    for step, (then, delivered) in enumerate(course):
        now = incident(state=then.state, status=then.status, updated_at=NOON + timedelta(minutes=step))
        match decide(now, *outbox):
            case Add(event, state):
                outbox.append(Told(step, now.stage, state, 0, now.updated_at))
                events.append(event)
            case Revise(_, event):
                outbox[-1] = replace(outbox[-1], stage=now.stage, incident_at=now.updated_at)
                events[-1] = event
            case Withdraw(_):
                del outbox[-1], events[-1]
        if delivered and outbox:
            outbox[-1] = replace(outbox[-1], state=State.SENT, attempts=1)
        stages = [message.stage for message in outbox]
        assert len(set(stages)) == len(stages)
        assert len(set(events)) == len(events)
        assert events[:1] in ([], [Stage.OPENED])
