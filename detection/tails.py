"""Tail probabilities of over-dispersed counts, down to where a float ends and beyond.

A count is negative binomial with mean m and shape r: variance m + m²/r, the gamma–Poisson mixture of a rate that is
itself uncertain (Greenwood and Yule 1920). Small counts are discrete, so the tail is the mid-p value
P(X > x) + P(X = x) / 2 (Lancaster 1961, J. Am. Stat. Assoc. 56:223), which is uniform on average under the null.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]

FEW: Final = 32
"""Whole counts up to this are summed term by term, several times faster than by the incomplete beta function."""

CLOSE: Final = 1e-6
"""Upper tails below this are not told as one minus such a sum: too few of their digits would be left."""

FAR: Final = 1e-10
"""Upper tails below this are summed from their leading terms; the incomplete beta function loses them at 1e-300."""

TINY_MEAN: Final = 1e-9
"""Means are raised to this, so that a mention where none was expected has a finite surprise."""


def log_pmf(count: Floats, mean: Floats, shape: Floats) -> Floats:
    """Return ln P(X = count) of the negative binomial with this mean and shape, elementwise."""
    return np.asarray(
        special.gammaln(count + shape)
        - special.gammaln(shape)
        - special.gammaln(count + 1)
        + special.xlogy(count, mean / (mean + shape))
        - shape * np.log1p(mean / shape)
    )


def _far_tail_ratio(count: Floats, mean: Floats, shape: Floats) -> Floats:
    """Return P(X > count) / P(X = count) from the first terms of the sum and a geometric bound on the rest.

    The ratio of neighbours P(j + 1) / P(j) = (j + r) / (j + 1) · m / (m + r) falls (r > 1) or rises (r < 1) slowly
    with j, so that after a few terms the geometric series is close.
    """
    odds = mean / (mean + shape)
    total = np.zeros_like(count)
    term = np.ones_like(count)
    j = count
    for _ in range(6):
        term = term * (j + shape) / (j + 1) * odds
        total = total + term
        j = j + 1
    last = np.minimum((j + shape) / (j + 1) * odds, 0.999)
    return np.asarray(total + term * last / (1 - last))


def _tail_of_few(count: Floats, mean: Floats, shape: Floats) -> Floats:
    """Return the upper mid-p value of whole counts up to ``FEW``, by the sum of what is below."""
    order = np.argsort(count.astype(np.int8), kind="stable")
    count, mean, shape = count[order], mean[order], shape[order]
    odds = mean / (mean + shape)
    below, at = np.zeros(len(count)), np.exp(-shape * np.log1p(mean / shape))
    for j in range(int(count[-1])):
        larger = slice(int(np.searchsorted(count, j, side="right")), None)
        below[larger] += at[larger]
        at[larger] *= (shape[larger] + j) * odds[larger] / (j + 1)
    tail = np.empty(len(count))
    tail[order] = 1 - below - at / 2
    return tail


def _surprise_by_beta(count: Floats, mean: Floats, shape: Floats) -> Floats:
    log_at = log_pmf(count, mean, shape)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        above = special.betainc(count + 1, shape, mean / (mean + shape))
        near = -np.log(above + 0.5 * np.exp(log_at))
    far = (above < FAR) & (count > mean)
    if far.any():
        ratio = _far_tail_ratio(count[far], mean[far], shape[far])
        near[far] = -(log_at[far] + np.log(ratio + 0.5))
    return np.asarray(near)


def surprise(count: Floats, mean: Floats, shape: Floats) -> Floats:
    """Return -ln of the upper mid-p value of each count, in nats, at least 0; float64[n].

    Args:
        count: mentions, at least 0.
        mean: expected mentions, above 0 (raised to ``TINY_MEAN``).
        shape: shape of the gamma mixture, above 0; large is Poisson.
    """
    count = np.asarray(count, float)
    mean = np.maximum(np.asarray(mean, float), TINY_MEAN)
    shape = np.clip(np.asarray(shape, float), 1e-3, 1e7)
    tail = np.zeros(len(count))
    few = np.flatnonzero((count <= FEW) & (count == np.floor(count)))
    if len(few):
        tail[few] = _tail_of_few(count[few], mean[few], shape[few])
    found = -np.log(np.maximum(tail, CLOSE))
    rest = np.flatnonzero(tail <= CLOSE)
    if len(rest):
        found[rest] = _surprise_by_beta(count[rest], mean[rest], shape[rest])
    return np.asarray(np.maximum(found, 0.0))


def lower_surprise(count: Floats, mean: Floats, shape: Floats) -> Floats:
    """Return -ln of the lower mid-p value P(X < count) + P(X = count) / 2 of each count, in nats, at least 0."""
    mean = np.maximum(np.asarray(mean, float), TINY_MEAN)
    at = np.exp(log_pmf(count, mean, shape))
    below = np.where(count > 0, special.betainc(shape, np.maximum(count, 1), shape / (mean + shape)), 0.0)
    return np.asarray(np.maximum(-np.log(np.maximum(below + 0.5 * at, 1e-300)), 0.0))


def usual_range(mean: Floats, shape: Floats, tail: float) -> tuple[Floats, Floats]:
    """Return the counts between which all but ``tail`` on either side fall, by the gamma law of the rate.

    The Wilson–Hilferty cube-root normal approximation (1931) of a gamma variable with the count's mean and variance:
    within half a mention of the exact quantile for means above 1, and vectorises without a search.
    """
    mean = np.maximum(np.asarray(mean, float), TINY_MEAN)
    variance = mean + mean**2 / shape
    equivalent = mean**2 / variance
    z = float(special.ndtri(1 - tail))
    root = 1 / (9 * equivalent)
    low = np.maximum(1 - root - z * np.sqrt(root), 0.0) ** 3
    high = np.maximum(1 - root + z * np.sqrt(root), 0.0) ** 3
    return np.floor(mean * low), np.ceil(mean * high)
