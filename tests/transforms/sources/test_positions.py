"""The restriction of a reader and its tracker."""

from __future__ import annotations

import pytest
from apache_beam.runners.sdf_utils import ThreadsafeRestrictionTracker
from hypothesis import given
from hypothesis import strategies as st

from transforms.sources.positions import Claim, Positions, PositionsProvider, PositionTracker

START = PositionsProvider().initial_restriction(b"")


def test_what_is_claimed_is_not_handed_over():
    tracker = PositionTracker(Positions({0: 5, 1: 7}, started=True))
    assert tracker.try_claim(Claim(0, 9))
    assert tracker.try_claim(Claim(2, 0))
    primary, residual = tracker.try_split(0)
    assert primary == Positions({0: 5, 1: 7}, started=True)
    assert residual == Positions({0: 9, 1: 7, 2: 0}, started=True)
    assert tracker.check_done()


def test_nothing_is_claimed_after_the_handover():
    tracker = PositionTracker(Positions({0: 5}, started=True))
    _, residual = tracker.try_split(0)
    assert not tracker.try_claim(Claim(0, 9))
    assert tracker.try_split(0) is None
    assert residual.offsets == {0: 5}


def test_a_reader_that_just_ends_has_lost_something():
    with pytest.raises(ValueError, match="no end"):
        PositionTracker(START).check_done()


def test_a_share_of_the_work_is_not_given_away():
    tracker = PositionTracker(START)
    assert tracker.try_split(0.5) is None
    assert tracker.try_claim(Claim(0, 1))


def test_the_first_look_is_remembered():
    tracker = PositionTracker(START)
    assert not tracker.current_restriction().started
    assert tracker.try_claim(None)
    assert tracker.try_split(0)[1] == Positions({}, started=True)


def test_a_step_back_is_an_error():
    with pytest.raises(ValueError, match="goes back from offset 5 to 4"):
        PositionTracker(Positions({0: 5}, started=True)).try_claim(Claim(0, 4))


def test_a_reader_without_a_partition_is_handed_over_too():
    """Beam drops a rest that is false."""
    tracker = ThreadsafeRestrictionTracker(PositionTracker(START))
    tracker.defer_remainder()
    assert tracker.deferred_status()[0] == START


@given(st.dictionaries(st.integers(0, 10_000), st.integers(0, 2**63 - 1)), st.booleans())
def test_positions_survive_packing(offsets, started):
    coder = PositionsProvider().restriction_coder()
    positions = Positions(offsets, started)
    assert coder.decode(coder.encode(positions)) == positions
