"""Let the stream poll an empty topic, and see that its state does not grow.

    python -m benchmarks.throughput.idle --minutes 30 --json build/idle.json

A few posts go through first, and are counted right. Then nothing comes; the size of the state in each checkpoint is noted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from beam_pipelines.flink import Cluster
from beam_pipelines.stream_options import SOURCES
from benchmarks.throughput.checkpoints import newest_bytes, running_job
from benchmarks.throughput.posts import Workload
from benchmarks.throughput.runs import (
    BenchmarkError,
    Contender,
    WrongCountsError,
    filled_stack,
    say,
    started_stream,
    until_counted,
)
from local.settings import StackError

EVERY_SECONDS = 10.0
POSTS = 5_000
TOLERANCE = 0.01
"""Growth of the state, as a share, that passes for none: counters become longer."""


def growth(sizes: Sequence[int]) -> float:
    """Return by what share the state has grown: the median of the last third over that of the first, less one.

    Raises:
        ValueError: there are fewer than three sizes.
    """
    third = len(sizes) // 3
    if not third:
        msg = f"{len(sizes)} checkpoints are too few to tell whether the state grows"
        raise ValueError(msg)
    return statistics.median(sizes[-third:]) / statistics.median(sizes[:third]) - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch; 0 if the state did not grow."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput.idle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=30, help="default: %(default)s")
    parser.add_argument("--variant", choices=("count", "full"), default="full", help="default: %(default)s")
    parser.add_argument("--source", choices=SOURCES, default="librdkafka", help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="write the sizes to this file")
    own, options = parser.parse_known_args(arguments)
    options = ["--checkpointing_interval=5000", *options]
    contender, sizes = Contender(own.variant, own.source), []
    try:
        with ExitStack() as stack:
            settings, counts = stack.enter_context(filled_stack(Workload(POSTS, vocabulary=1_000, windows=2)))
            taps = stack.enter_context(started_stream(contender, settings, options))
            found = until_counted(contender, taps, POSTS)
            if found != counts:
                msg = f"{contender.name}: counted {found}, sent {counts}"
                raise WrongCountsError(msg)
            cluster = Cluster(str(settings.flink))
            job = running_job(cluster)
            say(f"all posts are counted; {own.minutes:g} minutes of silence")
            end = time.monotonic() + own.minutes * 60
            while time.monotonic() < end:
                time.sleep(EVERY_SECONDS)
                if (size := newest_bytes(cluster, job)) is not None:
                    sizes.append(size)
    except (StackError, BenchmarkError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if own.json:
        own.json.parent.mkdir(parents=True, exist_ok=True)
        own.json.write_text(json.dumps({"every_seconds": EVERY_SECONDS, "bytes": sizes}) + "\n", encoding="utf-8")
    grown = growth(sizes)
    print(f"state: {sizes[0]:,} bytes at first, {sizes[-1]:,} at the end, {grown:+.2%} from first to last third")
    return 0 if grown <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
