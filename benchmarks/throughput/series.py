"""Does the rate stay as something grows? The vocabulary of the posts, or the table of baselines.

    python -m benchmarks.throughput.series vocabulary --json build/vocabulary.json    # count and full
    python -m benchmarks.throughput.series baselines --json build/baselines.json      # full

Each vocabulary has a stack of its own, for the topic holds other posts. The baselines are published one table after the other,
on one stack with the same posts, after a run that warms it up and has none. Tables and lake are emptied before each run. The
counts of each run must be right.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from beam_pipelines.stream_options import SOURCES
from benchmarks.throughput import plots, report
from benchmarks.throughput.baselines import publish_baselines
from benchmarks.throughput.job import VARIANTS
from benchmarks.throughput.posts import Workload
from benchmarks.throughput.runs import BenchmarkError, Contender, filled_stack, measure, say
from local import reset
from local.settings import StackError

SIZES = (10_000, 100_000, 1_000_000)


def by_vocabulary(workloads: Iterable[Workload], source: str, options: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Measure counting and the full stream with workloads of different vocabularies."""
    for workload in workloads:
        size = workload.vocabulary
        with filled_stack(workload) as (settings, counts):
            for variant in VARIANTS:
                say(f"measuring {variant} with {size:,} words")
                reset.empty_stores(settings)
                yield {"size": size, **measure(Contender(variant, source), settings, counts, options)}


def by_baselines(
    workload: Workload, sizes: Sequence[int], source: str, options: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Measure the full stream with each number of baselines, and before that without any."""
    contender = Contender("full", source)
    with filled_stack(workload) as (settings, counts):
        for size in (0, *sizes):
            reset.empty_stores(settings)
            if size:
                say(f"publishing {size:,} baselines")
                publish_baselines(size, workload.vocabulary, workload.posts / workload.windows)
            say(f"measuring {contender.name} with {size:,} baselines")
            yield {"size": size, **measure(contender, settings, counts, options)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a series, show a table, write figures and plot."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput.series",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("series", choices=("vocabulary", "baselines"))
    parser.add_argument(
        "--sizes", default=",".join(map(str, SIZES)), help="keywords, comma-separated; default: %(default)s"
    )
    parser.add_argument("--posts", type=int, default=1_500_000, help="default: %(default)s")
    parser.add_argument("--vocabulary", type=int, default=100_000, help="with baselines: words; default: %(default)s")
    parser.add_argument("--windows", type=int, default=Workload.windows, help="15 minutes each; default: %(default)s")
    parser.add_argument("--source", choices=SOURCES, default="librdkafka", help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="write the figures to this file, and a plot beside it")
    own, options = parser.parse_known_args(arguments)
    sizes = [int(size) for size in own.sizes.split(",")]
    workload = Workload(own.posts, own.vocabulary, own.windows)
    if own.series == "vocabulary":
        points = by_vocabulary([replace(workload, vocabulary=size) for size in sizes], own.source, options)
    else:
        points = by_baselines(workload, sizes, own.source, options)
    measured = []
    try:
        for point in points:
            measured.append(point)
            say(f"{point['size']:,}: {report.line(point)}")
    except (StackError, BenchmarkError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if own.json:
        own.json.parent.mkdir(parents=True, exist_ok=True)
        own.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
        plots.series(measured, f"keywords ({own.series})", own.json.with_suffix(".png"))
    print(report.table([{**point, "name": f"{point['name']}, {point['size']:,}"} for point in measured]))
    print(report.flatness(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
