"""Measure how many posts a second go through.

    python -m benchmarks.throughput --posts 1500000 --variant count --source librdkafka --json build/count.json
    python -m benchmarks.throughput --posts 1500000 --suite --json build/throughput.json     # what `make bench` runs
    python -m benchmarks.throughput --posts 1500000 --peers --json build/peers.json          # what `make bench-peers` runs
    python -m benchmarks.throughput --posts 1500000 --suite --peers --json build/all.json    # both in one run

Variants: ``raw``, the least work that counting needs, without Beam and Flink; ``count``, the stream's counting alone;
``full``, the whole stream; ``flink-sql`` and ``spark``, the same counting on other engines. A run has a Kafka, Flink, Postgres
and S3 of its own on free ports. Its topic is filled first, so what is measured is the rate at which posts are processed. The
counts of every run must equal those of the posts that were sent.

The posts lie in ``--windows`` windows of 15 minutes, so windows close far more often than they would in life at such a rate,
where one holds tens of millions of posts. The fewer, the more like it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from beam_pipelines.stream_options import SOURCES
from benchmarks.throughput import plots, report
from benchmarks.throughput.job import VARIANTS
from benchmarks.throughput.peers import engine
from benchmarks.throughput.peers.engine import PEERS
from benchmarks.throughput.posts import Workload
from benchmarks.throughput.runs import PEER_SUITE, SUITE, BenchmarkError, Contender, filled_stack, measure, say
from local import reset
from local.settings import StackError


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one contender, or all of them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--posts", type=int, default=1_500_000, help="default: %(default)s")
    parser.add_argument("--vocabulary", type=int, default=100_000, help="different words; default: %(default)s")
    parser.add_argument("--windows", type=int, default=Workload.windows, help="15 minutes each; default: %(default)s")
    parser.add_argument("--variant", choices=("raw", *VARIANTS, *PEERS), help="what to measure")
    parser.add_argument("--source", choices=SOURCES, default=SOURCES[0], help="of count and full; default: %(default)s")
    parser.add_argument("--processes", type=int, default=1, help="of raw; default: %(default)s")
    parser.add_argument(
        "--suite", action="store_true", help="measure every variant of ours, in one run that can be compared"
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="measure counting and the peers, in one run likewise; with --suite, all in one",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file; of several runs, a plot beside it")
    own, options = parser.parse_known_args(arguments)
    if (own.suite or own.peers) == bool(own.variant):
        parser.error("name a --variant, or --suite for all of ours, or --peers, or both of these")
    source = own.source if own.variant in VARIANTS else ""
    several = dict.fromkeys((SUITE if own.suite else ()) + (PEER_SUITE if own.peers else ()))
    contenders = several or (Contender(own.variant, source, own.processes),)
    results = []
    try:
        engine.install({contender.variant for contender in contenders}, say)
        with filled_stack(Workload(own.posts, own.vocabulary, own.windows)) as (settings, counts):
            for contender in contenders:
                say(f"measuring {contender.name}")
                reset.empty_stores(settings)  # or one run's upserts would find the rows of another
                results.append(measure(contender, settings, counts, options))
                say(report.line(results[-1]))
    except (StackError, BenchmarkError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if own.json:
        own.json.parent.mkdir(parents=True, exist_ok=True)
        own.json.write_text(json.dumps(results[0] if own.variant else results, indent=2) + "\n", encoding="utf-8")
    if not own.variant:
        print(report.table(results))
        ratios = report.ratios(results)
        for name, ratio in ratios.items():
            print(f"{name}: {ratio:.2f}")
        if own.json:
            plots.suite(results, ratios, own.json.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
