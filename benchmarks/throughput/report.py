"""How measured rates are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.throughput.taps import Read

SLICE_SECONDS = 4


def slices(reads: Sequence[Read]) -> list[int]:
    """Return posts a second in each slice of time since the first read; a bundle counts in the slice that it ended in."""
    first = min(read.began for read in reads)
    counts = [0] * (int((reads[-1].ended - first) // SLICE_SECONDS) + 1)
    for read in reads:
        counts[int((read.ended - first) // SLICE_SECONDS)] += read.posts
    return [count // SLICE_SECONDS for count in counts]


def line(result: Mapping[str, Any]) -> str:
    """Return one result in one line."""
    return (
        f"{result['name']}: {result['steady_posts_per_s']:,} posts/s steady, {result['posts_per_s']:,} whole, "
        f"{result['cpu_seconds']} CPU s, {result['peak_rss_mb']:,} MB, "
        f"first post after {result['seconds_to_first_post']} s"
    )


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table; the last column compares with the raw limit of the most processes, if it was measured."""
    raw = [result["steady_posts_per_s"] for result in results if result["name"].startswith("raw")]
    lines = [
        "| | posts/s, steady | posts/s, whole | CPU s per million | peak memory, MB | of the raw limit |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        share = f"{result['steady_posts_per_s'] / raw[-1]:.2f}" if raw else ""
        cells = (
            result["name"],
            f"{result['steady_posts_per_s']:,}",
            f"{result['posts_per_s']:,}",
            f"{result['cpu_seconds'] / result['posts'] * 1e6:.1f}",
            f"{result['peak_rss_mb']:,}",
            share,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
