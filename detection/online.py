"""What a shard remembers between windows: online ratio, the last hour, when a keyword was last mentioned.

``ROW`` bytes per keyword. Everything is an array over the shard's keywords in the order of their hashes, so that a
window costs a few vector operations, whatever the number of keywords mentioned.

A state is bounded by what is talked about: a keyword enters when it is mentioned, and leaves when it has not been for
``IDLE_DAYS``. Should it come back, it starts "as usual" if it has a baseline, and as new if it has none.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detection.baselines import BaselineTable
from detection.counts import WINDOW_SECONDS, WINDOWS_PER_DAY
from detection.incidents import NEVER
from detection.level import PRIOR_MENTIONS, prior_mass

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

LAST_HOUR: Final = 3
"""Windows before the present one that make up an hour with it."""

NEW_RATE: Final = 0.1
"""Mean rate, mentions per window, of a keyword that is in no baseline and was never seen."""

NEW_DISPERSION: Final = 4.0
"""Over-dispersion of a keyword without a baseline, relative to the pooled: its season is unknown."""

NEW_PRIOR: Final = (PRIOR_MENTIONS, 0.1)
"""Mentions and windows that the prior weighs once such a keyword has appeared: little, new ones come in all sizes."""

IDLE_DAYS: Final = 3
"""Days without a mention after which a keyword leaves the state; its online ratio, of hours, is long forgotten."""

ROW: Final = np.dtype(
    [
        ("hashes", "<u8"),
        ("ratio_mentions", "<f4"),
        ("ratio_exposure", "<f4"),
        ("seen_at", "<i4"),
        ("learnt", "?"),
        ("counts", "<f4", (LAST_HOUR,)),
        ("means", "<f4", (LAST_HOUR,)),
    ]
)
"""One keyword of a serialised state."""

_HEAD: Final = struct.Struct("<4sqq")
_FORMAT: Final = b"KS1\0"


@dataclass(frozen=True, slots=True, eq=False)
class ShardState:
    """State of one shard after a window; arrays of length n, in the order of ``hashes``.

    Attributes:
        window_start: start of the last window taken in, epoch seconds; -1 before the first.
        version: version of the baselines that the state was last joined with; -1 for none.
        hashes: sorted hashes of the keywords, uint64[n].
        ratio_mentions: online ratio, mentions, float32[n]; for keywords in no baseline, mentions since they appeared.
        ratio_exposure: online ratio, expected mentions, float32[n].
        seen_at: index of the window of the last mention since the keyword is in the state, int32[n]; ``NEVER`` if none.
        learnt: whether the online ratio is one to a baseline, bool[n].
        counts: mentions in the last ``LAST_HOUR`` windows, the newest first, float32[3, n].
        means: mentions that were expected in them, float32[3, n].
        joined: the baselines of the keywords, if they have been looked up; no part of the bytes.
    """

    window_start: int
    version: int
    hashes: Hashes
    ratio_mentions: npt.NDArray[np.float32]
    ratio_exposure: npt.NDArray[np.float32]
    seen_at: npt.NDArray[np.int32]
    learnt: npt.NDArray[np.bool_]
    counts: npt.NDArray[np.float32]
    means: npt.NDArray[np.float32]
    joined: Known | None = None

    @classmethod
    def empty(cls) -> ShardState:
        """Return the state before the first window."""
        return cls.fresh(np.empty(0, np.uint64))

    @classmethod
    def fresh(cls, hashes: Hashes, window_start: int = -1, version: int = -1) -> ShardState:
        """Return the state of keywords that have only just entered; ``hashes`` must be sorted."""
        n = len(hashes)
        mass = np.full(n, PRIOR_MENTIONS, np.float32)
        hour = np.zeros((LAST_HOUR, n), np.float32)
        return cls(
            window_start, version, hashes, mass, mass, np.full(n, NEVER, np.int32), np.zeros(n, bool), hour, hour
        )

    def __len__(self) -> int:
        return len(self.hashes)

    def to_bytes(self) -> bytes:
        """Serialise: a header, then a ``ROW`` per keyword."""
        rows = np.empty(len(self), ROW)
        rows["hashes"] = self.hashes
        for name in PER_KEYWORD:
            rows[name] = getattr(self, name).T
        return _HEAD.pack(_FORMAT, self.window_start, self.version) + rows.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> ShardState:
        """Read what ``to_bytes`` wrote.

        Raises:
            ValueError: the bytes are not such a state.
        """
        if data[: len(_FORMAT)] != _FORMAT or (len(data) - _HEAD.size) % ROW.itemsize:
            msg = "not the state of a shard"
            raise ValueError(msg)
        _, window_start, version = _HEAD.unpack_from(data)
        rows = np.frombuffer(data, ROW, offset=_HEAD.size)
        columns: dict[str, Any] = {name: np.ascontiguousarray(rows[name].T) for name in PER_KEYWORD}
        return cls(window_start, version, np.ascontiguousarray(rows["hashes"]), **columns)

    def take(self, rows: Rows) -> ShardState:
        """Return the state of some keywords; rows must be in ascending order."""
        return replace(
            self,
            hashes=self.hashes[rows],
            joined=None,
            **{name: getattr(self, name)[..., rows] for name in PER_KEYWORD},
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
            joined=None,
            **{
                name: np.concatenate([getattr(self, name), getattr(other, name)], axis=-1)[..., order]
                for name in PER_KEYWORD
            },
        )

    def with_keywords(self, hashes: Hashes) -> ShardState:
        """Return the state with these keywords too, unknown ones as new."""
        new = hashes[self.find(hashes) < 0]
        return self.merged(self.fresh(np.unique(new), -1, self.version)) if len(new) else self

    def only(self, hashes: Hashes) -> ShardState:
        """Return the state of these keywords alone, unknown ones as new."""
        rows = self.find(hashes)
        return self.take(np.unique(rows[rows >= 0])).with_keywords(hashes)

    def find(self, hashes: Hashes) -> Rows:
        """Return the row of each keyword, int64[n]; -1 where the state has none."""
        if not len(self):
            return np.full(len(hashes), -1, np.int64)
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self) - 1)
        return np.where(self.hashes[at] == hashes, at, -1)

    def without_idle(self, index: int) -> ShardState:
        """Return the state without the keywords that nobody has mentioned for ``IDLE_DAYS`` before a window."""
        busy = index - self.seen_at <= IDLE_DAYS * WINDOWS_PER_DAY
        return self if busy.all() else self.take(np.flatnonzero(busy))

    def hour_before(self, window_start: int) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        """Return what is known of the hour that a window ends, without the window itself.

        Windows that the state has not taken in are not in it, be it that nobody posted anything, that a keyword was
        not in the state then, or that they are still to come.

        Returns:
            Mentions and expected mentions, float64[n], and of how many windows, ``LAST_HOUR`` at most, int64[n].
        """
        inside = self._of_hour_before(window_start)
        counts, means = self.counts[inside], self.means[inside]
        return counts.sum(axis=0).astype(float), means.sum(axis=0).astype(float), np.count_nonzero(means, axis=0)

    def windows_before(self, window_start: int) -> int:
        """Return how many windows of the hour that a window ends the state has taken in, ``LAST_HOUR`` at most."""
        return int(self.means[self._of_hour_before(window_start)].any(axis=1).sum())

    def _of_hour_before(self, window_start: int) -> npt.NDArray[np.bool_]:
        age = (window_start - self.window_start) // WINDOW_SECONDS + np.arange(LAST_HOUR)
        return np.asarray((age >= 1) & (age <= LAST_HOUR))


PER_KEYWORD: Final = ("ratio_mentions", "ratio_exposure", "seen_at", "learnt", "counts", "means")
"""The arrays of a state beside ``hashes``."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The baselines of a state's keywords, in its order: the join that a window would otherwise repeat.

    Attributes:
        version: version of the baselines.
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
                baselines.version, np.zeros(n, bool), np.full(n, NEW_RATE), np.full(n, PRIOR_MENTIONS),
                np.full(n, NEW_DISPERSION * defaults[0]), np.full(n, NEW_DISPERSION * defaults[1]), np.ones(n), np.zeros(n, np.int64), flat,
            )  # fmt: skip
        rows = baselines.find(hashes)
        present = rows >= 0

        def column(name: str, default: float) -> Floats:
            return np.where(present, baselines.columns[name][rows], default).astype(float)

        dispersion = baselines.pooled["dispersion"]
        shared = baselines.pooled["shape"].astype(np.float32)
        own, season = np.unique(column("season", -1.0).astype(np.int64), return_inverse=True)
        seasons = np.zeros((len(own) + 1, len(shared)), np.float32)
        if len(baselines.pooled["seasons"]):
            seasons[:-1] = baselines.pooled["seasons"][own]
        seasons *= np.float32(step)
        seasons[:-1][own < 0] = seasons[-1] = shared
        return cls(
            baselines.version,
            present,
            column("level", NEW_RATE),
            np.where(present, prior_mass(np.maximum(column("mass", 1.0), PRIOR_MENTIONS)), PRIOR_MENTIONS),
            column("dispersion", NEW_DISPERSION * float(dispersion[0])),
            column("hour_dispersion", NEW_DISPERSION * float(dispersion[1])),
            column("calibration", 1.0),
            season,
            seasons.T.copy(),
        )

    def shape(self, window_start: int) -> Floats:
        """Return each keyword's factor of a window, interpolated between the middles of the hours, float64[n]."""
        hour, second = divmod(window_start, 3600)
        offset = (second / 900 - 1.5) / 4
        here, there = hour % 168, (hour + (1 if offset > 0 else -1)) % 168
        return np.asarray(np.exp((1 - abs(offset)) * self.seasons[here] + abs(offset) * self.seasons[there]), float)[
            self.season
        ]
