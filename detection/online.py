"""What a shard remembers between windows: online ratio, the last hour, open incidents.

About 50 bytes per keyword. Everything is an array over the shard's keywords in the order of their hashes, so that a
window costs a few vector operations, whatever the number of keywords mentioned.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detection.baselines import BaselineTable
from detection.incidents import NEVER
from detection.level import PRIOR_MENTIONS, prior_mass

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]

LAST_HOUR: Final = 3
"""Windows before the present one that make up an hour with it."""

NEW_RATE: Final = 0.1
"""Mean rate, mentions per window, of a keyword that is in no baseline and was never seen."""

NEW_DISPERSION: Final = 4.0
"""Over-dispersion of a keyword without a baseline, relative to the pooled: its season is unknown."""

NEW_PRIOR: Final = (PRIOR_MENTIONS, 0.1)
"""Mentions and windows that the prior weighs once such a keyword has appeared: little, new ones come in all sizes."""


@dataclass(frozen=True, slots=True, eq=False)
class ShardState:
    """State of one shard after a window; arrays of length n, in the order of ``hashes``.

    Attributes:
        window_start: start of the last window taken in, epoch seconds; -1 before the first.
        version: version of the baselines that the state was last joined with; -1 for none.
        hashes: sorted hashes of the keywords, uint64[n].
        ratio_mentions: online ratio, mentions, float32[n]; for keywords in no baseline, mentions since they appeared.
        ratio_exposure: online ratio, expected mentions, float32[n].
        seen: whether the keyword has been mentioned since it is in the state, bool[n].
        learnt: whether the online ratio is one to a baseline, bool[n].
        counts: mentions in the last ``LAST_HOUR`` windows, float32[3, n].
        means: mentions that were expected in them, float32[3, n].
        outlier_at: window index of the last outlier, int32[n]; ``NEVER`` without one.
        opened_at: window index at which its incident opened, int32[n].
        peak: largest score of that incident, float32[n].
    """

    window_start: int
    version: int
    hashes: Hashes
    ratio_mentions: npt.NDArray[np.float32]
    ratio_exposure: npt.NDArray[np.float32]
    seen: npt.NDArray[np.bool_]
    learnt: npt.NDArray[np.bool_]
    counts: npt.NDArray[np.float32]
    means: npt.NDArray[np.float32]
    outlier_at: npt.NDArray[np.int32]
    opened_at: npt.NDArray[np.int32]
    peak: npt.NDArray[np.float32]

    @classmethod
    def empty(cls) -> ShardState:
        """Return the state before the first window."""
        return cls(-1, -1, np.empty(0, np.uint64), *_fresh(0))

    def __len__(self) -> int:
        return len(self.hashes)

    def to_bytes(self) -> bytes:
        """Serialise as an uncompressed ``.npz``."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **{f.name: np.asarray(getattr(self, f.name)) for f in fields(self)})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> ShardState:
        """Read what ``to_bytes`` wrote.

        Raises:
            ValueError: the bytes are not such a state.
        """
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            values = {f.name: arrays[f.name] for f in fields(cls)}
        values["window_start"], values["version"] = int(values["window_start"]), int(values["version"])
        return cls(**values)

    def take(self, rows: npt.NDArray[np.int64]) -> ShardState:
        """Return the state of some keywords; rows must be in ascending order."""
        return replace(
            self,
            hashes=self.hashes[rows],
            **{name: getattr(self, name)[..., rows] for name in _PER_KEYWORD},
        )

    def merged(self, other: ShardState) -> ShardState:
        """Return the state of both shards' keywords, which must be disjoint and of the same window and version."""
        hashes = np.concatenate([self.hashes, other.hashes])
        order = np.argsort(hashes, kind="stable")
        return replace(
            self,
            window_start=max(self.window_start, other.window_start),
            version=self.version if len(self) else other.version,
            hashes=hashes[order],
            **{
                name: np.concatenate([getattr(self, name), getattr(other, name)], axis=-1)[..., order]
                for name in _PER_KEYWORD
            },
        )

    def with_keywords(self, hashes: Hashes) -> ShardState:
        """Return the state with these keywords too, unknown ones as new."""
        if len(self):
            at = np.minimum(np.searchsorted(self.hashes, hashes), len(self) - 1)
            hashes = hashes[self.hashes[at] != hashes]
        if not len(hashes):
            return self
        hashes = np.unique(hashes)
        return self.merged(
            replace(ShardState.empty(), version=self.version, hashes=hashes, **_fresh_named(len(hashes)))
        )


_PER_KEYWORD: Final = (
    "ratio_mentions", "ratio_exposure", "seen", "learnt", "counts", "means", "outlier_at", "opened_at", "peak",
)  # fmt: skip


def _fresh_named(n: int) -> dict[str, Any]:
    return dict(zip(_PER_KEYWORD, _fresh(n), strict=True))


def _fresh(
    n: int,
) -> tuple[
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.bool_],
    npt.NDArray[np.bool_],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
    npt.NDArray[np.float32],
]:
    mass = np.full(n, PRIOR_MENTIONS, np.float32)
    hour = np.zeros((LAST_HOUR, n), np.float32)
    never = np.full(n, NEVER, np.int32)
    return mass, mass, np.zeros(n, bool), np.zeros(n, bool), hour, hour, never, never, np.zeros(n, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The baselines of a state's keywords, in its order: the join that a window would otherwise repeat.

    Attributes:
        version: version of the baselines.
        size: number of keywords of the state.
        present: whether the keyword has a baseline, bool[n].
        rate: mentions per window at usual volume, float64[n].
        mass: weight of "as usual" in the online ratio, float64[n].
        dispersion: over-dispersion of a window, float64[n].
        hour_dispersion: over-dispersion of an hour, float64[n].
        calibration: what surprises are divided by, float64[n].
        season: row of the seasons, the last for the shared shape, int64[n].
        seasons: log shapes of the week, float32[168, m + 1].
    """

    version: int
    size: int
    present: npt.NDArray[np.bool_]
    rate: Floats
    mass: Floats
    dispersion: Floats
    hour_dispersion: Floats
    calibration: Floats
    season: npt.NDArray[np.int64]
    seasons: npt.NDArray[np.float32]

    @classmethod
    def join(cls, hashes: Hashes, baselines: BaselineTable, defaults: tuple[float, float], step: float) -> Known:
        """Look up the baselines of sorted hashes."""
        n = len(hashes)
        if not len(baselines):
            flat = np.zeros((168, 1), np.float32)
            return cls(
                baselines.version, n, np.zeros(n, bool), np.full(n, NEW_RATE), np.full(n, PRIOR_MENTIONS),
                np.full(n, NEW_DISPERSION * defaults[0]), np.full(n, NEW_DISPERSION * defaults[1]), np.ones(n), np.zeros(n, np.int64), flat,
            )  # fmt: skip
        rows = baselines.find(hashes)
        present = rows >= 0

        def column(name: str, default: float) -> Floats:
            return np.where(present, baselines.columns[name][rows], default).astype(float)

        dispersion = baselines.pooled["dispersion"]
        shared = baselines.pooled["shape"].astype(np.float32)
        own = baselines.pooled["seasons"].astype(np.float32) * np.float32(step)
        season = column("season", -1.0).astype(np.int64)
        return cls(
            baselines.version,
            n,
            present,
            column("level", NEW_RATE),
            np.where(present, prior_mass(np.maximum(column("mass", 1.0), PRIOR_MENTIONS)), PRIOR_MENTIONS),
            column("dispersion", NEW_DISPERSION * float(dispersion[0])),
            column("hour_dispersion", NEW_DISPERSION * float(dispersion[1])),
            column("calibration", 1.0),
            np.where(season < 0, len(own), season),
            np.concatenate([own, shared[None]]).T.copy(),
        )

    def shape(self, window_start: int) -> Floats:
        """Return each keyword's factor of a window, interpolated between the middles of the hours, float64[n]."""
        hour, second = divmod(window_start, 3600)
        offset = (second / 900 - 1.5) / 4
        here, there = hour % 168, (hour + (1 if offset > 0 else -1)) % 168
        return np.asarray(np.exp((1 - abs(offset)) * self.seasons[here] + abs(offset) * self.seasons[there]), float)[
            self.season
        ]
