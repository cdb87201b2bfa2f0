"""What each ingredient buys: the detector with one of them taken out, on the same world.

Nothing of the detector is switched for this: a variant changes the baselines that it fits, or the state that it hands on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.detector import measure, ours
from benchmarks.detector.brands import Brand
from benchmarks.detector.world import World
from detection.baselines import BaselineTable
from detection.counts import WindowCounts
from detection.detector import Scores
from detection.fit import Fitted
from detection.keyword_detector import KeywordDetector
from detection.online import ShardState

POISSON = 1e-4
"""Over-dispersion of what is as good as a Poisson count."""


def _unchanged(part: Any) -> Any:
    return part


@dataclass(frozen=True)
class Variant(KeywordDetector):
    """The detector with an ingredient taken out.

    Attributes:
        of_table: changes the baselines that a fit made.
        of_state: changes the state after a window.
    """

    of_table: Callable[[BaselineTable], BaselineTable] = _unchanged
    of_state: Callable[[ShardState], ShardState] = _unchanged

    def table(
        self, hashes: npt.NDArray[np.uint64], parts: list[Fitted], usual_posts: float, version: int
    ) -> BaselineTable:
        """Return the changed table."""
        return self.of_table(super().table(hashes, parts, usual_posts, version))

    def step(self, window: WindowCounts, baselines: BaselineTable, state: ShardState) -> tuple[Scores, ShardState]:
        """Score, and return the changed state."""
        scores, after = super().step(window, baselines, state)
        return scores, self.of_state(after)


def _with(table: BaselineTable, pooled: Mapping[str, Any] | None = None, **columns: float) -> BaselineTable:
    constant = {name: np.full(len(table), value, np.float32) for name, value in columns.items()}
    return replace(table, columns={**table.columns, **constant}, pooled={**table.pooled, **(pooled or {})})


def _no_season(table: BaselineTable) -> BaselineTable:
    return _with(table, {"shape": np.zeros_like(table.pooled["shape"])}, season=-1.0)


def _pooled_dispersion(table: BaselineTable) -> BaselineTable:
    window, hour = table.pooled["dispersion"].tolist()
    return _with(table, dispersion=window, hour_dispersion=hour)


def _one_scale(table: BaselineTable) -> BaselineTable:
    return replace(table, columns={**table.columns, "hour_dispersion": table.columns["dispersion"]})


def _no_online_level(state: ShardState) -> ShardState:
    """Put every keyword with a baseline back to "as usual"; those without one have nothing else."""
    exposure = np.where(state.learnt, state.ratio_mentions, state.ratio_exposure)
    return replace(state, ratio_exposure=exposure)


def _no_last_hour(state: ShardState) -> ShardState:
    return replace(state, counts=np.zeros_like(state.counts), means=np.zeros_like(state.means))


VARIANTS: dict[str, Callable[[float], KeywordDetector]] = {
    "everything": KeywordDetector,
    "no over-dispersion (Poisson)": lambda budget: Variant(
        budget,
        of_table=lambda t: _with(t, {"dispersion": np.full(2, POISSON)}, dispersion=POISSON, hour_dispersion=POISSON),
    ),
    "pooled over-dispersion": lambda budget: Variant(budget, of_table=_pooled_dispersion),
    "no online level": lambda budget: Variant(budget, of_state=_no_online_level),
    "no hour, single windows only": lambda budget: Variant(budget, of_table=_one_scale, of_state=_no_last_hour),
    "no season": lambda budget: Variant(budget, of_table=_no_season),
    "the shared season only": lambda budget: Variant(budget, of_table=lambda t: _with(t, season=-1.0)),
    "no calibration to the record": lambda budget: Variant(budget, of_table=lambda t: _with(t, calibration=1.0)),
    "7 days of history": lambda budget: KeywordDetector(budget, history_days=7),
}
"""The variants by name, made for an alert budget."""

NO_VOLUME = "no platform volume"


@dataclass(frozen=True, slots=True)
class Rung:
    """How a variant did.

    Attributes:
        world: on a simulated world.
        brands: mean score on brand series.
    """

    world: measure.Detection
    brands: float


def climb(world: World, sets: Sequence[Sequence[Brand]], budget: float) -> dict[str, Rung]:
    """Measure every variant on a world, with an alert budget for it, and on sets of brand series."""
    rungs = {name: _rung(world, sets, make(budget), world.totals) for name, make in VARIANTS.items()}
    return rungs | {NO_VOLUME: _rung(world, sets, KeywordDetector(budget), None)}


def _rung(
    world: World, sets: Sequence[Sequence[Brand]], detector: KeywordDetector, totals: npt.NDArray[np.float64] | None
) -> Rung:
    scores = ours.run(world.names, world.counts, totals, detector).scores[world.first_window :]
    on_brands = []
    for brands in sets:
        counts = np.stack([brand.counts for brand in brands])
        outcome = ours.run(tuple(brand.name for brand in brands), counts, None, detector)
        on_brands.append(measure.on_brands(brands, outcome.scores)[0])
    return Rung(measure.on_world(world, scores), float(np.mean(on_brands)))
