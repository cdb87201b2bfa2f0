"""``python -m benchmarks.detector``: the report on how well the detector detects, and what it costs."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.detector import drops, ladder, measure, ours, peers, plots
from benchmarks.detector.brands import simulate_brands
from benchmarks.detector.world import WORLDS, World, simulate, spec_of
from detection.baselines import keyword_hashes
from detection.counts import WINDOWS_PER_DAY, WindowCounts
from detection.fit import fit
from detection.hourly import HourlyCounts
from detection.keyword_detector import KeywordDetector
from transforms.scoring import KEPT

OURS = "return period"

MENTIONS_PER_WINDOW = 160_000
"""Of a million keywords together: 20,000 posts with eight each."""


def _row(*cells: object) -> str:
    return "| " + " | ".join(f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells) + " |"


def _heading(*cells: str) -> list[str]:
    return [_row(*cells), "|" + " --- |" * len(cells)]


def _own_alarms(world: World, outcome: ours.Outcome) -> tuple[float, float]:
    """Return recall and false incidents a day and 10,000 keywords of the detector's own alarms."""
    first = world.first_window
    alarms = outcome.outliers[first:].copy()
    found = 0
    for event in world.events:
        found += bool(alarms[event.start - first : event.end - first + 2, event.keyword].any())
        alarms[max(0, event.start - first) : event.end - first + measure.ECHO, event.keyword] = False
    days = len(alarms) // WINDOWS_PER_DAY
    false = alarms[: days * WINDOWS_PER_DAY].reshape(days, WINDOWS_PER_DAY, -1).any(axis=1).sum()
    return found / max(len(world.events), 1), float(false) / days * 10_000 / alarms.shape[1]


def on_worlds(keywords: int, days: int, seed: int, folder: Path) -> Iterator[str]:
    """Yield the tables of simulated worlds."""
    yield f"## Simulated keywords ({keywords:,} a world, {days} days; recall at {measure.FALSE_PER_DAY:.0f} false a day)"
    yield ""
    budget = 100.0 * keywords / 10_000
    worst: dict[str, list[float]] = {}
    calibration: list[str] = []
    observed: dict[str, list[float]] = {}
    for name in WORLDS:
        world = simulate(spec_of(name, keywords, days), seed)
        outcome = ours.run(world.names, world.counts, world.totals, KeywordDetector(budget))
        yield f"### {name}: {len(world.events)} events"
        yield from _heading("detector", "AUPR events", "AUPR windows", "recall", "by shape", "median delay, windows")
        scores = {OURS: outcome.scores} | {peer: score(world.counts) for peer, score in peers.PEERS.items()}
        for peer, said in scores.items():
            found = measure.on_world(world, said[world.first_window :])
            shapes = ", ".join(f"{k} {v:.2f}" for k, v in found.by_shape.items())
            yield _row(peer, found.event_aupr, found.window_aupr, found.recall, shapes, found.delay)
            worst.setdefault(peer, []).append(found.event_aupr)
        if name == "base":
            curves = {p: measure.precision_recall(world, said[world.first_window :]) for p, said in scores.items()}
            plots.precision_recall(curves, folder / "precision_recall.svg")
        recall, false = _own_alarms(world, outcome)
        yield ""
        yield f"Own alarms at the budget: recall {recall:.2f}, {false:.0f} false incidents a day per 10,000 keywords."
        yield ""
        quiet = ~world.labels[:, world.first_window :].T & (world.counts[:, world.first_window :].T >= 0)
        p_values = outcome.p_values[world.first_window :]
        volume = world.counts.mean(axis=1)
        for low, high in ((0.0, 0.2), (0.2, 2.0), (2.0, 1e9)):
            some = (volume >= low) & (volume < high)
            if some.any():
                rates = [float((p_values[:, some][quiet[:, some]] < p).mean() / p) for p in plots.NOMINAL]
                calibration.append(_row(name, f"{low:g}–{high:g}", *rates))
                if name == "base":
                    observed[f"{low:g} to {high:g} mentions a window"] = rates
    plots.calibration(observed, folder / "calibration.svg")
    yield "### Mean and worst world (AUPR events)"
    yield from _heading("detector", "mean", "worst")
    for peer, areas in worst.items():
        yield _row(peer, float(np.mean(areas)), float(np.min(areas)))
    yield ""
    yield "### Windows below a nominal p-value, observed ÷ nominal, by mean mentions per window"
    yield from _heading("world", "mentions", "p < 0.01", "p < 0.001", "p < 0.0001")
    yield from calibration
    yield ""


def on_drops(keywords: int, days: int, seed: int) -> Iterator[str]:
    """Yield the table of silences put into the worlds."""
    yield f"## Drops (silences of one to six hours, {keywords:,} keywords a world)"
    yield ""
    yield from _heading("world", "silences", "recall", "median delay, windows", "false drops a day per 10,000 keywords")
    for name in WORLDS:
        world, silences = drops.silence(simulate(spec_of(name, keywords, days), seed), seed)
        found = drops.measure(world, silences, KeywordDetector(100.0 * keywords / 10_000))
        yield _row(name, found.silences, found.recall, found.delay, found.false_per_day)
    yield ""


def on_brands(sets: int) -> Iterator[str]:
    """Yield the table of the brand series."""
    yield f"## Brand mentions (NAB standard profile, {sets} sets of ten series, best threshold of each set)"
    yield ""
    yield from _heading("detector", "mean", "worst", "own alarms, mean")
    found: dict[str, list[float]] = {}
    alarms = []
    for seed in range(sets):
        brands = simulate_brands(seed)
        counts = np.stack([brand.counts for brand in brands])
        outcome = ours.run(tuple(brand.name for brand in brands), counts, None)
        alarms.append(measure.alarms_on_brands(brands, outcome.outliers))
        scores = {OURS: outcome.scores} | {peer: score(counts) for peer, score in peers.PEERS.items()}
        for peer, said in scores.items():
            found.setdefault(peer, []).append(measure.on_brands(brands, said)[0])
    for peer, values in found.items():
        yield _row(peer, float(np.mean(values)), float(np.min(values)), float(np.mean(alarms)) if peer == OURS else "")
    yield ""


def on_ladder(keywords: int, days: int, seed: int, sets: int, folder: Path) -> Iterator[str]:
    """Yield the table of what each ingredient buys."""
    yield f'## What each ingredient buys (world "base", {keywords:,} keywords; {sets} sets of brand series)'
    yield ""
    world = simulate(spec_of("base", keywords, days), seed)
    rungs = ladder.climb(world, [simulate_brands(i) for i in range(sets)], 100.0 * keywords / 10_000)
    yield from _heading("detector", "AUPR events", "AUPR windows", "recall", "brands")
    for name, rung in rungs.items():
        yield _row(name, rung.world.event_aupr, rung.world.window_aupr, rung.world.recall, rung.brands)
    yield ""
    plots.ladder({name: rung.world.event_aupr for name, rung in rungs.items()}, folder / "ladder.svg")


def costs(keywords: int) -> Iterator[str]:
    """Yield the table of costs."""
    yield f"## Cost ({keywords:,} keywords, a fair sample of a million; 28 days, one core)"
    yield ""
    rng = np.random.default_rng(0)
    ranks = np.linspace(0, 1_000_000, keywords, endpoint=False) + 500_000 / keywords
    sizes = ranks**-1.1
    rates = MENTIONS_PER_WINDOW * keywords / 1_000_000 * sizes / sizes.sum()
    counts = np.asarray(rng.poisson(rates * 4, (28 * 24, keywords)), np.float32)
    hourly = HourlyCounts(0, counts, np.asarray(np.square(counts) / 4, np.float32), counts, np.ones(28 * 24))
    began = time.perf_counter()
    detector = KeywordDetector()
    fitted = fit(hourly)
    fit_seconds = time.perf_counter() - began
    names = tuple(f"k{i}" for i in range(keywords))
    table = detector.table(keyword_hashes(names), [fitted], float("nan"), 1)
    state = detector.new_state()
    elapsed, scored = 0.0, 0
    for w in range(24):
        mentions = rng.poisson(rates)
        some = np.flatnonzero(mentions)
        window = WindowCounts(28 * 86_400 + w * 900, float("nan"), tuple(names[i] for i in some), mentions[some])
        began = time.perf_counter()
        _, state = detector.step(window, table, state)
        elapsed += (time.perf_counter() - began) * (w >= 4)
        scored += len(state) * (w >= 4)
    size = KEPT * len(state.to_bytes()) / len(state) + len(table.to_bytes()) / len(table)
    yield from _heading("what", "measured", "promised")
    yield _row("daily fit, µs per keyword and day", fit_seconds * 1e6 / keywords / 28, "≤ 43")
    yield _row("score and advance, µs per keyword and window", elapsed * 1e6 / scored, "≤ 2")
    yield _row("state and baseline, bytes per keyword", size, "≤ 200")
    yield ""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detector", description=__doc__)
    parser.add_argument("--keywords", type=int, default=1500, help="keywords per simulated world (%(default)s)")
    parser.add_argument("--days", type=int, default=42, help="days per simulated world (%(default)s)")
    parser.add_argument("--brand_sets", type=int, default=8, help="sets of ten brands (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the worlds (%(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("build/detector/report.md"),
        help="report; its plots go beside it (%(default)s)",
    )
    args = parser.parse_args(argv)
    lines = ["# The detector, measured", ""]
    folder = args.output.parent
    folder.mkdir(parents=True, exist_ok=True)
    parts = (
        on_brands(args.brand_sets),
        costs(10_000),
        on_worlds(args.keywords, args.days, args.seed, folder),
        on_drops(args.keywords, args.days, args.seed),
        on_ladder(args.keywords, args.days, args.seed, args.brand_sets, folder),
    )
    for part in parts:
        for line in part:
            print(line, flush=True)
            lines.append(line)
    args.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
