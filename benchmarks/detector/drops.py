"""How well drops are told: silences put into a simulated world, and what is told beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from beam_pipelines.backtest import Past
from benchmarks.detector.ours import START, sparse
from benchmarks.detector.world import World
from detection.counts import WINDOW_SECONDS, WINDOWS_PER_DAY, WindowCounts
from detection.incidents import INCIDENT_GAP
from detection.keyword_detector import DROP_EXPECTED, KeywordDetector
from detection.online import LAST_HOUR

SILENT_SHARE = 0.05
"""Of a silenced keyword's mentions, so many still come."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A keyword that falls silent from one window to another, exclusive."""

    keyword: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DropReport:
    """What was found of the silences.

    Attributes:
        silences: number of silences.
        recall: share of them that were told.
        delay: median windows from the beginning of a silence to its telling, NaN if none was told.
        false_per_day: other drops told, as incidents a day and 10,000 keywords.
    """

    silences: int
    recall: float
    delay: float
    false_per_day: float


def silence(world: World, seed: int, per_day: int = 4) -> tuple[World, list[Silence]]:
    """Put silences of one to six hours into the labelled days, where enough mentions were certain."""
    rng = np.random.default_rng([seed, 11])
    counts, silences = world.counts.copy(), list[Silence]()
    certain = DROP_EXPECTED / LAST_HOUR * 1.5
    for day in range(world.first_window, counts.shape[1] - WINDOWS_PER_DAY, WINDOWS_PER_DAY):
        for _ in range(per_day):
            start, length = day + int(rng.integers(WINDOWS_PER_DAY)), int(rng.integers(4, 25))
            usual = world.rates[:, start : start + length].min(axis=1) >= certain
            calm = ~world.labels[:, start - WINDOWS_PER_DAY : start + length].any(axis=1)
            alone = np.ones(len(counts), bool)
            alone[[one.keyword for one in silences]] = False
            able = np.flatnonzero(usual & calm & alone)
            if len(able):
                keyword = int(rng.choice(able))
                part = counts[keyword, start : start + length]
                part[:] = rng.binomial(part, SILENT_SHARE)
                silences.append(Silence(keyword, start, start + length))
    return replace(world, counts=counts), silences


def measure(world: World, silences: list[Silence], detector: KeywordDetector) -> DropReport:
    """Run the labelled days through the detector, fitted anew each day, and see which drops it tells."""
    posts = {START + WINDOW_SECONDS * i: float(v) for i, v in enumerate(world.totals)}
    past = Past(sparse(world.names, world.counts), posts)
    number = {name: i for i, name in enumerate(world.names)}
    told: list[tuple[int, int]] = []
    state = detector.new_state()
    first = world.first_window // WINDOWS_PER_DAY
    for day in range(first, past.days):
        table = detector.fit(past.history(max(0, day - detector.history_days), day), day)
        for w in range(day * WINDOWS_PER_DAY, min((day + 1) * WINDOWS_PER_DAY, past.last + 1)):
            rows = past.window(w)
            names = tuple(world.names[k] for k in past.counts.keyword[rows].tolist())
            counts = WindowCounts(
                past.start + w * WINDOW_SECONDS, float(past.posts[w]), names, past.counts.mentions[rows]
            )
            _, state = detector.step(counts, table, state)
            told += [(number[name], w) for name in detector.drops(counts, table, state)[0].keywords]
    delays, explained = [], set[tuple[int, int]]()
    for one in silences:
        inside = [(k, w) for k, w in told if k == one.keyword and one.start <= w < one.end + INCIDENT_GAP]
        explained.update(inside)
        delays += [w - one.start for _, w in inside[:1] if w < one.end]
    false, last = 0, dict[int, int]()
    for k, w in told:
        if (k, w) not in explained:
            false += w - last.get(k, -INCIDENT_GAP - 1) > INCIDENT_GAP
            last[k] = w
    days = past.days - first
    return DropReport(
        len(silences),
        len(delays) / max(len(silences), 1),
        float(np.median(delays)) if delays else float("nan"),
        false / days * 10_000 / len(world.names),
    )
