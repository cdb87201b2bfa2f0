"""Simulated keyword counts with known truth.

A world is drawn from a ``WorldSpec``, whose fields are the assumptions that a detector might depend on by accident:
the family and weight of the noise's tail, the strength of season and drift, the size and kinds of the events. The
report runs a detector on several worlds and shows the worst beside the mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from detection.counts import WINDOWS_PER_DAY

Floats = npt.NDArray[np.float64]
SHAPES = ("spike", "ramp", "burst", "new")


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """The assumptions of a simulated world.

    Attributes:
        keywords: number of keywords.
        days: days simulated.
        first_event_day: day from which events carry labels; earlier ones happen as well (a history is never clean).
        noise: ``nb`` gamma–Poisson, ``lognormal`` Poisson–lognormal, ``shots`` gamma–Poisson with rare multiplicative
            shots whose size has a Pareto tail, ``poisson``.
        dispersion: median over-dispersion of a keyword (variance = mean + dispersion × mean²).
        tail_index: Pareto index of the shots; smaller is heavier.
        shots_per_day: shots per day of a median keyword; keywords differ ten-fold either way.
        season: standard deviation of a keyword's own seasonal harmonics (log scale).
        drift: daily step of the log level's random walk.
        wander: standard deviation of the log level's fluctuation within days.
        wander_hours: its correlation time.
        events_per_day: labelled events per day and 10,000 keywords.
        surge: median factor of an event over the usual level; sizes are lognormal around it.
        new_share: share of keywords that first appear after the history, steady, which is no event.
        zipf: exponent of the keywords' sizes.
        median_rate: mentions per window of the median keyword.
    """

    keywords: int = 2000
    days: int = 42
    first_event_day: int = 28
    noise: str = "nb"
    dispersion: float = 0.08
    tail_index: float = 2.0
    shots_per_day: float = 0.1
    season: float = 0.25
    drift: float = 0.04
    wander: float = 0.2
    wander_hours: float = 6.0
    events_per_day: float = 60.0
    surge: float = 5.0
    new_share: float = 0.04
    zipf: float = 1.1
    median_rate: float = 0.25


WORLDS: dict[str, WorldSpec] = {
    "base": WorldSpec(),
    "lognormal": WorldSpec(noise="lognormal", dispersion=0.15),
    "heavy": WorldSpec(noise="shots", tail_index=1.7),
    "calm": WorldSpec(dispersion=0.02, season=0.1, drift=0.02, wander=0.05),
    "restless": WorldSpec(season=0.5, drift=0.1, wander=0.35, wander_hours=3.0),
    "small surges": WorldSpec(surge=3.0),
}
"""Named worlds of the report: one assumption moved at a time."""


@dataclass(frozen=True, slots=True)
class Event:
    """A true anomaly.

    Attributes:
        keyword: row of the keyword.
        start: first window.
        end: one past the last window.
        shape: one of ``SHAPES``.
        added: mentions that the event added.
    """

    keyword: int
    start: int
    end: int
    shape: str
    added: int


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Counts and truth.

    Attributes:
        names: keyword names, length k.
        counts: mentions, int32[k, windows].
        totals: posts of the platform, float64[windows].
        rates: true mean without events, float32[k, windows].
        events: labelled events, from ``first_window`` on.
        labels: windows that belong to a labelled event, bool[k, windows].
        first_window: start of the labelled period.
    """

    names: tuple[str, ...]
    counts: npt.NDArray[np.int32]
    totals: Floats
    rates: npt.NDArray[np.float32]
    events: tuple[Event, ...]
    labels: npt.NDArray[np.bool_]
    first_window: int


def spec_of(name: str, keywords: int, days: int) -> WorldSpec:
    """Return a named world's spec at another size."""
    return replace(WORLDS[name], keywords=keywords, days=days)


def _totals(rng: np.random.Generator, windows: int) -> Floats:
    t = np.arange(windows) / WINDOWS_PER_DAY
    daily = 0.55 * np.sin(2 * np.pi * (t - 0.4)) + 0.15 * np.sin(4 * np.pi * (t - 0.1))
    weekly = 0.12 * np.isin(t.astype(int) % 7, (5, 6))
    growth = 0.004 * t + np.cumsum(rng.normal(0, 0.002, windows))
    totals = 20_000 * np.exp(daily + weekly + growth)
    for _ in range(max(1, windows // (WINDOWS_PER_DAY * 10))):  # a holiday or a news day lifts the whole platform
        start = rng.integers(0, windows)
        totals[start : start + int(rng.integers(16, 64))] *= rng.uniform(1.3, 2.0)
    return np.asarray(rng.poisson(totals), float)


def _log_profile(rng: np.random.Generator, spec: WorldSpec, windows: int) -> Floats:
    t = np.arange(windows) / WINDOWS_PER_DAY
    profile = np.zeros(windows)
    for harmonic, weight in ((1, 1.0), (2, 0.6), (3, 0.3)):
        a, b = rng.normal(0, spec.season * weight, 2)
        profile += a * np.sin(2 * np.pi * harmonic * t) + b * np.cos(2 * np.pi * harmonic * t)
    days_of_week = rng.normal(0, spec.season * 0.4, 7)
    return np.asarray(profile + days_of_week[t.astype(int) % 7])


def _wander(rng: np.random.Generator, spec: WorldSpec, windows: int) -> Floats:
    keep = np.exp(-1 / (4 * spec.wander_hours))
    steps = rng.normal(0, spec.wander * np.sqrt(1 - keep**2), windows)
    level = np.empty(windows)
    value = rng.normal(0, spec.wander)
    for i, step in enumerate(steps.tolist()):
        value = keep * value + step
        level[i] = value
    drift = np.cumsum(rng.normal(0, spec.drift, windows // WINDOWS_PER_DAY + 1))
    return np.asarray(level + np.repeat(drift - drift[-1] / 2, WINDOWS_PER_DAY)[:windows])


def _noise(rng: np.random.Generator, spec: WorldSpec, rate: Floats) -> npt.NDArray[np.int64]:
    alpha = spec.dispersion * np.exp(rng.normal(0, 0.7))
    if spec.noise == "poisson":
        return np.asarray(rng.poisson(rate))
    if spec.noise == "lognormal":
        sigma = np.sqrt(np.log1p(alpha))
        return np.asarray(rng.poisson(rate * np.exp(rng.normal(-(sigma**2) / 2, sigma, len(rate)))))
    mean = rate * rng.gamma(1 / alpha, alpha, len(rate))
    if spec.noise == "shots":
        per_window = spec.shots_per_day * 10 ** rng.uniform(-1, 1) / WINDOWS_PER_DAY
        for at in np.flatnonzero(rng.random(len(rate)) < per_window):
            height = rng.pareto(spec.tail_index)
            length = int(rng.geometric(0.4))
            mean[at : at + length] *= 1 + height * 0.7 ** np.arange(len(mean[at : at + length]))
    return np.asarray(rng.poisson(mean))


def _event(rng: np.random.Generator, spec: WorldSpec, rate: Floats, start: int) -> tuple[str, Floats]:
    """Return an event's shape and the mean it adds per window from ``start``."""
    shape = SHAPES[int(rng.integers(3))]
    factor = spec.surge * np.exp(rng.normal(0, 0.4))
    level = max(float(rate[start : start + 4].mean()), 0.02)
    if shape == "spike":
        length = int(rng.integers(1, 4))
        return shape, np.full(length, max(level * (factor - 1) * 1.3, 6.0 * rng.uniform(0.8, 2)))
    if shape == "ramp":
        length = int(rng.integers(6, 17))
        return shape, np.linspace(0.2, 1, length) * max(level * (factor - 1), 4.0 * rng.uniform(0.8, 2))
    length = int(rng.integers(8, 33))
    return shape, np.full(length, max(level * (factor - 1) * 0.6, 2.5 * rng.uniform(0.8, 2)))


def simulate(spec: WorldSpec, seed: int = 0) -> World:
    """Draw a world; the same seed gives the same world."""
    rng = np.random.default_rng(seed)
    windows = spec.days * WINDOWS_PER_DAY
    totals = _totals(rng, windows)
    smooth = totals / totals.mean()
    rank = np.argsort(np.argsort(rng.random(spec.keywords))) + 1
    size = spec.median_rate * (rank / (spec.keywords / 2)) ** -spec.zipf
    counts = np.zeros((spec.keywords, windows), np.int32)
    rates = np.zeros((spec.keywords, windows), np.float32)
    labels = np.zeros((spec.keywords, windows), bool)
    events: list[Event] = []
    first = spec.first_event_day * WINDOWS_PER_DAY
    chance = spec.events_per_day / 10_000 * spec.days
    for k in range(spec.keywords):
        rate = size[k] * smooth * np.exp(_log_profile(rng, spec, windows) + _wander(rng, spec, windows))
        if rng.random() < spec.new_share:
            rate[: int(rng.integers(first, windows - 48))] = 0.0
        if rng.random() < 0.01:  # a keyword that nobody used before, and then a burst: the event "new"
            start = int(rng.integers(first, windows - 48))
            rate[:] = 0.0
            rate[start:] = rng.uniform(0.05, 0.5)
            added = np.linspace(1, 0.3, int(rng.integers(4, 17))) * rng.uniform(6, 25)
            extra = rng.poisson(added)
            counts[k, start : start + len(extra)] += extra
            labels[k, start : start + len(extra)] = True
            events.append(Event(k, start, start + len(extra), "new", int(extra.sum())))
        rates[k] = rate
        counts[k] += _noise(rng, spec, rate).astype(np.int32)
        for _ in range(rng.poisson(chance)):
            start = int(rng.integers(WINDOWS_PER_DAY, windows - 40))
            if rate[start] == 0 or labels[k, max(0, start - 96) : start + 96].any():
                continue
            shape, added = _event(rng, spec, rate, start)
            extra = rng.poisson(added * rng.gamma(20, 1 / 20, len(added)))
            counts[k, start : start + len(extra)] += extra.astype(np.int32)
            if start >= first:
                labels[k, start : start + len(extra)] = True
                events.append(Event(k, start, start + len(extra), shape, int(extra.sum())))
    names = tuple(f"k{i:05d}" for i in range(spec.keywords))
    return World(names, counts, totals, rates, tuple(events), labels, first)
