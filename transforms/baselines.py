"""Baselines as a slowly-updating side input, read from Postgres.

The element is not a key-value pair: Beam 2.70's Flink runner cannot write a side input of pairs to a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import psycopg2
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, Repeatedly
from apache_beam.utils.timestamp import Timestamp

from detection.baselines import BaselineTable, keyword_hashes


class BaselineTableCoder(beam.coders.Coder):
    """Beam's coder of a ``BaselineTable``."""

    def encode(self, value: BaselineTable) -> bytes:
        """Serialise."""
        return value.to_bytes()

    def decode(self, encoded: bytes) -> BaselineTable:
        """Deserialise."""
        return BaselineTable.from_bytes(encoded)

    def to_type_hint(self) -> type[BaselineTable]:
        """Name the type that is coded."""
        return BaselineTable


beam.coders.registry.register_coder(BaselineTable, BaselineTableCoder)

FETCH_ROWS = 50_000


def newest_version(connection: Any, detector: str) -> int:
    """Return the newest published version of a detector's baselines; 0 if there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(version), 0) FROM baseline_versions WHERE detector = %s", (detector,))
        return int(cursor.fetchone()[0])


def load_baselines(connection: Any, detector: str, version: int) -> BaselineTable:
    """Read one version, in slices, so that a million rows never stand in memory as Python objects."""
    if not version:
        return BaselineTable.empty(detector)
    hashes, level, dispersion = [], [], []
    with connection.cursor(name="baselines") as cursor:
        cursor.itersize = FETCH_ROWS
        cursor.execute("SELECT keyword, level, dispersion FROM baselines WHERE version = %s", (version,))
        while rows := cursor.fetchmany(FETCH_ROWS):
            keywords, levels, dispersions = zip(*rows, strict=True)
            hashes.append(keyword_hashes(keywords))
            level.append(np.array(levels, np.float32))
            dispersion.append(np.array(dispersions, np.float32))
    connection.commit()
    if not hashes:
        return BaselineTable(version, detector, np.empty(0, np.uint64), {})
    columns = {"level": np.concatenate(level), "dispersion": np.concatenate(dispersion)}
    return BaselineTable.build(version, detector, np.concatenate(hashes), columns)


class _LoadFn(beam.DoFn):
    def __init__(self, detector: str) -> None:
        self._detector = detector
        self._sent = -1

    def process(self, _: Any) -> Iterator[BaselineTable]:
        connection = psycopg2.connect("", application_name="baselines")
        try:
            version = newest_version(connection, self._detector)
            # Only news is sent: on some runners every value that was ever sent stays in state.
            if version != self._sent:
                yield load_baselines(connection, self._detector, version)
                self._sent = version
        finally:
            connection.close()


@dataclass
class WatchBaselines(beam.PTransform):
    """Yields the newest ``BaselineTable`` of Postgres, again whenever a newer version is published.

    Attributes:
        detector: name of the detector whose baselines are wanted.
        every_seconds: processing time between two looks.
        start: when to look first, epoch seconds.
    """

    detector: str
    every_seconds: float
    start: float

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[BaselineTable]:
        """Poll, load, and let each value replace the one before."""
        return (
            begin
            | "Every so often" >> PeriodicImpulse(Timestamp(self.start), fire_interval=self.every_seconds)
            | "Load" >> beam.ParDo(_LoadFn(self.detector)).with_output_types(BaselineTable)
            | "Latest"
            >> beam.WindowInto(
                beam.window.GlobalWindows(),
                trigger=Repeatedly(AfterCount(1)),
                accumulation_mode=AccumulationMode.DISCARDING,
            ).with_output_types(BaselineTable)
        )
