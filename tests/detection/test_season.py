"""Seasons: found where they are, absent where they are not."""

import numpy as np
import pytest

from detection.fit import SEASON_STEP, fit
from detection.hourly import HourlyCounts


def history(shape: np.ndarray, rate: float, keywords: int, days: int = 28, seed: int = 0) -> HourlyCounts:
    rng = np.random.default_rng(seed)
    windows = rng.poisson(rate / 4 * np.exp(np.repeat(shape, 4, axis=0)), (days * 96, keywords))
    keyword, window = np.nonzero(windows.T)
    counts = windows[window, keyword]
    return HourlyCounts.from_rows(keyword, window * 900, counts, keywords, 0, np.ones(days * 24))


def test_a_keyword_of_its_own_rhythm_gets_its_own_shape():
    hours = np.arange(28 * 24)[:, None]
    phase = np.linspace(0, 2 * np.pi, 30)
    shape = 0.8 * np.sin(2 * np.pi * hours / 24 + phase)
    fitted = fit(history(shape, 20.0, 30))
    own = fitted.seasons[fitted.columns["season"].astype(int)].T * SEASON_STEP
    error = own - shape[:168]
    assert np.sqrt(np.mean((error - error.mean(axis=0)) ** 2)) < 0.12


def test_noise_is_not_taken_for_a_season():
    fitted = fit(history(np.zeros((28 * 24, 1)), 20.0, 30))
    rows = fitted.columns["season"].astype(int)
    assert np.abs(fitted.seasons[rows[rows >= 0]] * SEASON_STEP).std() < 0.04


@pytest.mark.parametrize("rate", [0.05, 1.0, 50.0])
def test_the_level_is_the_rate(rate):
    fitted = fit(history(np.zeros((28 * 24, 1)), rate * 4, 40))
    assert fitted.columns["level"][fitted.known].mean() == pytest.approx(rate, rel=0.12)
