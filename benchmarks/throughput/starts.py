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
from benchmarks.throughput.runs import PARTITIONS, Contender, WrongCountsError, filled_stack, run_stream, say


def main(arguments: Sequence[str] | None = None) -> int:
    """Start and stop; 0 if every start read every post."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput.starts", description=__doc__)
    parser.add_argument("--starts", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--source", choices=SOURCES, default="librdkafka", help="default: %(default)s")
    parser.add_argument("--checkpointing_interval", type=int, default=1000, help="milliseconds; default: %(default)s")
    own, options = parser.parse_known_args(arguments)
    contender = Contender("count", own.source)
    options += [f"--checkpointing_interval={own.checkpointing_interval}", "--idle_partition_timeout=1"]
    waits = []
    with filled_stack(Workload(5_000, vocabulary=1_000, windows=2)) as (settings, counts):
        for start in range(1, own.starts + 1):
            began = time.time()
            try:
                reads, found, _ = run_stream(contender, settings, 5_000, options, patience_seconds=90)
            except WrongCountsError as error:
                say(f"start {start}: {error}")
                continue
            wait = min(read.began for read in reads) - began
            processes = len({read.process for read in reads})
            right = "right" if found == counts else f"counted {found}, sent {counts}"
            say(f"start {start}: first post after {wait:.1f} s, {processes} processes, {right}")
            if found == counts and processes == PARTITIONS:
                waits.append(wait)
    print(f"{len(waits)} of {own.starts} starts read everything, in {PARTITIONS} processes")
    if waits:
        print(f"first post after {sum(waits) / len(waits):.1f} s (mean), {max(waits):.1f} s (most)")
    return 0 if len(waits) == own.starts else 1


if __name__ == "__main__":
    sys.exit(main())
