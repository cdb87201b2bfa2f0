"""Tail probabilities against scipy's negative binomial, and at the extremes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from detection.tails import CLOSE, lower_surprise, surprise, usual_range

means = st.floats(1e-6, 1e6)
shapes = st.floats(1e-2, 1e5)
counts = st.integers(0, 1_000_000)


def one(value: float) -> np.ndarray:
    return np.array([value], float)


@given(st.integers(0, 300), st.floats(0.01, 100), st.floats(0.1, 50))
def test_agrees_with_scipy(count, mean, shape):
    law = stats.nbinom(shape, shape / (shape + mean))
    with np.errstate(divide="ignore"):
        expected = -np.log(law.sf(count) + law.pmf(count) / 2)
    found = surprise(one(count), one(mean), one(shape))[0]
    if expected < 500:
        assert abs(found - expected) <= 0.02 + 0.001 * expected


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0.001, 100), st.floats(0.1, 50)), min_size=1, max_size=20))
def test_small_counts_are_told_closely_and_each_by_itself(cases):
    count, mean, shape = np.array(cases, float).T
    law = stats.nbinom(shape, shape / (shape + mean))
    expected = -np.log(law.sf(count) + law.pmf(count) / 2)
    found, summed = surprise(count, mean, shape), expected < -np.log(CLOSE)
    np.testing.assert_allclose(found[summed], expected[summed], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-9)


@given(counts, means, shapes)
def test_is_finite_and_not_negative(count, mean, shape):
    for found in (surprise(one(count), one(mean), one(shape)), lower_surprise(one(count), one(mean), one(shape))):
        assert np.isfinite(found).all()
        assert (found >= 0).all()


@given(st.lists(st.integers(0, 100_000), min_size=2, max_size=20), means, shapes)
def test_grows_with_the_count(values, mean, shape):
    ordered = np.sort(np.array(values, float))
    found = surprise(ordered, np.full(len(ordered), mean), np.full(len(ordered), shape))
    assert (np.diff(found) >= -0.02 - 1e-3 * found[1:]).all()


@given(st.floats(1, 1e4), st.floats(1, 1e4))
def test_the_usual_range_holds_the_mean(mean, shape):
    low, high = usual_range(one(mean), one(shape), 0.005)
    assert low[0] <= mean <= high[0]
    law = stats.nbinom(shape, shape / (shape + mean))
    assert law.cdf(high[0]) > 0.98
