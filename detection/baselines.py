"""Baselines: what a day's fit learnt about every keyword, as a compact columnar table."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import xxhash


def keyword_hash(keyword: str) -> int:
    """Return the stable 64-bit hash of a keyword (XXH3), the same in every process and on every machine."""
    return xxhash.xxh3_64_intdigest(keyword.encode())


def keyword_hashes(keywords: Iterable[str]) -> npt.NDArray[np.uint64]:
    """Return ``keyword_hash`` of each keyword, uint64[n]."""
    return np.fromiter(map(xxhash.xxh3_64_intdigest, map(str.encode, keywords)), np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class BaselineTable:
    """One row per keyword, found by hash; columns as the detector that made it defines them.

    Keywords are held as hashes: a million of them are 8 MB rather than 80 MB, and two of a million collide with a
    probability of 3 in 10^8.

    Attributes:
        version: number of the version, as in ``baseline_versions``; 0 means "no baseline yet".
        detector: name of the detector that made the table.
        hashes: sorted ``keyword_hash`` of every keyword, uint64[n].
        columns: column name → values, each [n, …].
        pooled: parameters shared by all keywords, name → array of any shape.
        names: hash → keyword, of the few whose silence can be told; a silent keyword is in no window that names it.
    """

    version: int
    detector: str
    hashes: npt.NDArray[np.uint64]
    columns: Mapping[str, npt.NDArray[np.float32]]
    pooled: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def empty(cls, detector: str) -> BaselineTable:
        """Return the table of a system that has not learnt anything yet."""
        return cls(0, detector, np.empty(0, np.uint64), {})

    @classmethod
    def build(
        cls,
        version: int,
        detector: str,
        hashes: npt.NDArray[np.uint64],
        columns: Mapping[str, npt.NDArray[np.float32]],
        pooled: Mapping[str, npt.NDArray[np.float64]] | None = None,
    ) -> BaselineTable:
        """Return a table from rows in any order."""
        order = np.argsort(hashes)
        return cls(version, detector, hashes[order], {k: v[order] for k, v in columns.items()}, pooled or {})

    def __len__(self) -> int:
        return len(self.hashes)

    def find(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return the row of each hash, int64[n]; -1 where the table has none."""
        if not len(self.hashes):
            return np.full(len(hashes), -1, np.int64)
        rows = np.searchsorted(self.hashes, hashes)
        rows[rows == len(self.hashes)] = 0
        return np.where(self.hashes[rows] == hashes, rows, -1).astype(np.int64)

    def to_bytes(self) -> bytes:
        """Serialise as an uncompressed ``.npz``: arrays only, nothing that runs code when it is read."""
        buffer = io.BytesIO()
        named = {f"column.{k}": v for k, v in self.columns.items()} | {f"pooled.{k}": v for k, v in self.pooled.items()}
        np.savez(
            buffer,
            allow_pickle=False,
            version=np.int64(self.version),
            detector=np.array(self.detector),
            hashes=self.hashes,
            names=np.array([name.encode() for name in self.names.values()], np.bytes_),
            **named,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> BaselineTable:
        """Read what ``to_bytes`` wrote.

        Raises:
            ValueError: the bytes are not such a table.
        """
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            columns = {k.removeprefix("column."): arrays[k] for k in arrays.files if k.startswith("column.")}
            pooled = {k.removeprefix("pooled."): arrays[k] for k in arrays.files if k.startswith("pooled.")}
            # Tables of before drops were told have none.
            names = [name.decode() for name in arrays["names"].tolist()] if "names" in arrays.files else []
            by_hash = dict(zip(keyword_hashes(names).tolist(), names, strict=True))
            return cls(int(arrays["version"]), str(arrays["detector"]), arrays["hashes"], columns, pooled, by_hash)
