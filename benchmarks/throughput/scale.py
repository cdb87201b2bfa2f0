"""What a load needs of a cluster: a calculator on measured unit costs. How it reckons is told in docs/scaling.md.

    python -m benchmarks.throughput.scale --posts_per_s 500000 --keywords 3000000 --task_managers 10

Nothing is run. The unit costs were measured on one machine; capacities of networks and stores are assumptions, and options
where they matter.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.throughput.posts import WORDS_PER_POST, probabilities
from detection.counts import WINDOW_SECONDS, WINDOWS_PER_DAY
from transforms.archive import FULL_BYTES, FULL_SECONDS
from transforms.scoring import KEPT
from transforms.sources.librdkafka import BUNDLE_SECONDS

POST_US = {"read": 6.1, "decode": 3.0, "count and pack": 2.2, "archive": 6.1, "task manager": 2.3}
"""CPU per post by step, µs: benchmarks/README.md."""

PANE_US = {"merge": 0.8, "score": 1.4}
"""CPU per keyword of a window for each pane that fires, µs."""

ROW_US = 8.0
"""Time of one session per row that is upserted in Postgres, µs."""

DETECTOR_BYTES = 45 * KEPT
"""State per keyword that the detector knows."""

WINDOW_BYTES = 49
"""State per keyword of an open window."""

OPEN_WINDOWS = 2
"""Windows in the state: the one that is open, and the one that late posts are still let into."""

BASELINE_BYTES = 34
"""Memory per baseline in each Python worker."""

WORKER_BYTES = 499 << 20
"""Memory of a Python worker without baselines, at its peak in the full stream: benchmarks/README.md."""

ROW_BYTES = 100
"""Room of a row of a keyword's window in Postgres, with its index; estimated."""

CONDENSED = 6.2
"""How many times smaller zstd makes posts."""

PUTS_PER_S = 3_500
"""What S3 takes under one prefix."""

CHECKPOINT_BYTES_PER_S = 100e6
"""Assumed: what a task manager writes of its state in a second."""

WORKER_LIMIT_BYTES = 600 << 20
"""Memory that a Python worker should stay below."""


@dataclass(frozen=True)
class Load:
    """What comes in.

    Attributes:
        posts_per_s: posts a second.
        keywords: different keywords in use, mentioned by Zipf's law.
        baselines: keywords with a baseline.
        post_bytes: size of a post.
        keywords_per_post: mentions in a post.
    """

    posts_per_s: float
    keywords: int
    baselines: int
    post_bytes: float = 3_200
    keywords_per_post: float = WORDS_PER_POST

    @property
    def compressed_bytes_per_s(self) -> float:
        """What comes in, compressed."""
        return self.posts_per_s * self.post_bytes / CONDENSED


@dataclass(frozen=True)
class Machines:
    """What there is.

    Attributes:
        task_managers: Flink's task managers.
        cores: cores of each; as many slots, and Python workers.
        partitions: of the topic.
        shards: of the counting.
        network_bytes_per_s: what a task manager can send.
        postgres_sessions: sessions that Postgres serves at full speed at the same time, about its cores.
        early_firing_seconds: time between two panes of an open window.
        checkpoint_seconds: time between two checkpoints.
    """

    task_managers: int
    cores: int
    partitions: int
    shards: int
    network_bytes_per_s: float = 1.25e9
    postgres_sessions: float = 1
    early_firing_seconds: float = 60
    checkpoint_seconds: float = 10

    @property
    def slots(self) -> int:
        """All cores, and parallel tasks."""
        return self.task_managers * self.cores


@dataclass(frozen=True)
class Need:
    """What is needed of something that there is only so much of, in a unit."""

    of: str
    needed: float
    there_is: float
    unit: str

    @property
    def share(self) -> float:
        """Needed over what there is; above 1 it is too much."""
        return self.needed / self.there_is


def mentioned(load: Load, seconds: float, least: int = 1) -> float:
    """Return how many keywords are mentioned so many times or more within some seconds, on average."""
    means = load.posts_per_s * seconds * load.keywords_per_post * probabilities(load.keywords)
    below = np.zeros(load.keywords)
    term = np.exp(-means)
    for times in range(least):
        below += term
        term = term * means / (times + 1)
    return float((1 - below).sum())


def archive_bytes_per_s(load: Load, partitions: int) -> float:
    """Return what is uploaded to the archive: each bundle writes the object that it adds to once more as a whole."""
    rate = load.compressed_bytes_per_s / partitions
    bundles = math.ceil(min(FULL_SECONDS, FULL_BYTES / 2 / rate) / BUNDLE_SECONDS)
    return partitions * rate * (bundles + 1) / 2


def state_bytes(load: Load) -> float:
    """Return the size of a checkpoint."""
    known = max(load.baselines, load.keywords)
    return known * DETECTOR_BYTES + OPEN_WINDOWS * mentioned(load, WINDOW_SECONDS) * WINDOW_BYTES


def needs(load: Load, machines: Machines) -> list[Need]:
    """Return what a load needs of the machines, the scarcest first."""
    in_window = mentioned(load, WINDOW_SECONDS)
    # The last early panes of a window have nearly all of its keywords.
    pane_seconds = in_window * sum(PANE_US.values()) / 1e6
    cpu = load.posts_per_s * sum(POST_US.values()) / 1e6 + pane_seconds / machines.early_firing_seconds
    busy_readers = min(machines.partitions, machines.slots)
    rows = mentioned(load, WINDOW_SECONDS, least=2)
    found = [
        Need("cores of the task managers", cpu, machines.slots, "cores"),
        Need(
            "cores that have partitions to read",
            load.posts_per_s * sum(POST_US.values()) / 1e6,
            busy_readers,
            "cores",
        ),
        Need(
            "a shard's time between two panes",
            pane_seconds / machines.shards,
            machines.early_firing_seconds,
            "s",
        ),
        Need("sessions of Postgres", rows * ROW_US / 1e6 / WINDOW_SECONDS, machines.postgres_sessions, "sessions"),
        Need(
            "network, archive",
            archive_bytes_per_s(load, machines.partitions) / 1e6,
            machines.task_managers * machines.network_bytes_per_s / 1e6,
            "MB/s",
        ),
        Need(
            "PUTs under one prefix",
            machines.partitions / BUNDLE_SECONDS + load.compressed_bytes_per_s / FULL_BYTES,
            PUTS_PER_S,
            "1/s",
        ),
        Need(
            "time between two checkpoints",
            state_bytes(load) / machines.task_managers / CHECKPOINT_BYTES_PER_S,
            machines.checkpoint_seconds,
            "s",
        ),
        # A new table is loaded while the old one still serves.
        Need(
            "memory of a Python worker",
            (WORKER_BYTES + 2 * BASELINE_BYTES * load.baselines) / 2**20,
            WORKER_LIMIT_BYTES / 2**20,
            "MiB",
        ),
    ]
    return sorted(found, key=lambda need: -need.share)


def table(load: Load, found: Sequence[Need]) -> str:
    """Return the needs as a Markdown table, with what is good to know beside them."""
    lines = ["| of | needed | there is | | share |", "| --- | ---: | ---: | --- | ---: |"]
    lines += [
        f"| {need.of} | {need.needed:,.2f} | {need.there_is:,.0f} | {need.unit} | {need.share:.0%} |" for need in found
    ]
    rows = mentioned(load, WINDOW_SECONDS, least=2)
    lines += [
        "",
        f"Rows in Postgres per window: {rows:,.0f}, {rows * ROW_BYTES * WINDOWS_PER_DAY / 1e9:,.1f} GB a day; "
        f"one session writes a window's in {rows * ROW_US / 1e6:,.0f} s.",
        f"A checkpoint holds {state_bytes(load) / 1e6:,.0f} MB.",
        f"Kafka takes and gives {load.compressed_bytes_per_s / 1e6:,.0f} MB/s, compressed.",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reckon; 0 if there is enough of everything."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--posts_per_s", type=float, required=True)
    parser.add_argument("--keywords", type=int, required=True, help="different keywords in use")
    parser.add_argument("--baselines", type=int, help="keywords with a baseline; default: --keywords")
    parser.add_argument("--task_managers", type=int, required=True)
    parser.add_argument("--cores", type=int, default=4, help="cores and slots of each; default: %(default)s")
    parser.add_argument("--partitions", type=int, help="default: one per slot")
    parser.add_argument("--shards", type=int, help="default: two per slot")
    parser.add_argument("--postgres_sessions", type=float, default=1, help="at full speed; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    own = parser.parse_args(arguments)
    slots = own.task_managers * own.cores
    load = Load(own.posts_per_s, own.keywords, own.baselines or own.keywords)
    machines = Machines(
        own.task_managers,
        own.cores,
        own.partitions or slots,
        own.shards or 2 * slots,
        postgres_sessions=own.postgres_sessions,
    )
    found = needs(load, machines)
    if own.json:
        print(json.dumps([{**asdict(need), "share": round(need.share, 3)} for need in found], indent=2))
    else:
        print(table(load, found))
    return 0 if found[0].share <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
