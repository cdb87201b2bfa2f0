"""Start the stream again and again, and see that it reads each time, and with as many processes as there are partitions.

    python -m benchmarks.throughput.starts --starts 30

Checkpoints come every second, so that many fall into the start of a job.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from beam_pipelines.stream_options import SOURCES
from benchmarks.throughput.posts import Workload
from benchmarks.throughput.runs import (
    PARTITIONS,
    BenchmarkError,
    Contender,
    WrongCountsError,
    filled_stack,
    run_stream,
    say,
)
from local.settings import StackError


def measure(starts: int, source: str, options: Sequence[str]) -> list[float]:
    """Start and stop the stream so many times.

    Returns:
        Seconds to the first post, for each start.

    Raises:
        NotSubmittedError: the stream did not start.
        WrongCountsError: a start did not read everything, or not with a process for each partition.
    """
    contender = Contender("count", source)
    waits: list[float] = []
    with filled_stack(Workload(5_000, vocabulary=1_000, windows=2)) as (settings, counts):
        for start in range(1, starts + 1):
            began = time.time()
            reads, found, _ = run_stream(contender, settings, 5_000, options, patience_seconds=90)
            processes = len({read.process for read in reads})
            if found != counts or processes != PARTITIONS:
                msg = f"counted {found} in {processes} processes, sent {counts} in {PARTITIONS} partitions"
                raise WrongCountsError(msg)
            waits.append(min(read.began for read in reads) - began)
            say(f"start {start}: first post after {waits[-1]:.1f} s")
    return waits


def main(arguments: Sequence[str] | None = None) -> int:
    """Start and stop; 0 if every start read every post."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput.starts", description=__doc__)
    parser.add_argument("--starts", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--source", choices=SOURCES, default="librdkafka", help="default: %(default)s")
    parser.add_argument("--checkpointing_interval", type=int, default=1000, help="milliseconds; default: %(default)s")
    own, options = parser.parse_known_args(arguments)
    options.append(f"--checkpointing_interval={own.checkpointing_interval}")
    if own.source == "librdkafka":
        options.append("--idle_partition_timeout=1")  # kafkaio has no such wait
    try:
        waits = measure(own.starts, own.source, options)
    except (StackError, BenchmarkError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(waits)} of {own.starts} starts read everything, in {PARTITIONS} processes")
    if waits:
        print(f"first post after {sum(waits) / len(waits):.1f} s (mean), {max(waits):.1f} s (most)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
