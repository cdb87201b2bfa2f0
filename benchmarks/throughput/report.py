"""How measured rates are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from beam_pipelines.stream_options import SOURCES
from benchmarks.throughput.peers.engine import PEERS
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


def ratios(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the ratios of steady rates that say how good a design is, as far as both sides were measured."""
    rates = {result["name"]: result["steady_posts_per_s"] for result in results}
    pairs = [("count, librdkafka", "raw, 2 processes")]
    pairs += [(f"full, {source}", f"count, {source}") for source in SOURCES]
    pairs += [(f"count, {source}", peer) for peer in PEERS for source in SOURCES]
    return {f"{one} ÷ {other}": rates[one] / rates[other] for one, other in pairs if {one, other} <= rates.keys()}


def flatness(points: Sequence[Mapping[str, Any]]) -> str:
    """Return, for each name in a series, the lowest steady rate relative to the highest, in one line each.

    A point of size 0 only warms up.
    """
    lines = []
    for name in dict.fromkeys(point["name"] for point in points):
        rates = [point["steady_posts_per_s"] for point in points if point["name"] == name and point["size"]]
        lines.append(f"{name}: lowest ÷ highest rate {min(rates) / max(rates):.2f}")
    return "\n".join(lines)


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table; one column compares with the raw limit of the most processes, if it was measured."""
    raw = [result["steady_posts_per_s"] for result in results if result["name"].startswith("raw")]
    lines = [
        "| | posts/s, steady | posts/s, whole | of the raw limit | CPU s per million | memory, MB: all | largest worker "
        "| checkpoint s: mean | slowest | state, MB | s to first post |",
        f"| ---{' | ---:' * 10} |",
    ]
    for result in results:
        checkpoints = result.get("checkpoints")
        cells = (
            result["name"],
            f"{result['steady_posts_per_s']:,}",
            f"{result['posts_per_s']:,}",
            f"{result['steady_posts_per_s'] / raw[-1]:.2f}" if raw else "–",
            f"{result['cpu_seconds'] / result['posts'] * 1e6:.1f}",
            f"{result['peak_rss_mb']:,}",
            str(result["peak_rss_mb_of_one"].get("python workers", "–")),
            f"{checkpoints['mean_seconds']:.1f}" if checkpoints else "–",
            f"{checkpoints['slowest_seconds']:.1f}" if checkpoints else "–",
            f"{checkpoints['largest_bytes'] / 1e6:.1f}" if checkpoints else "–",
            f"{result['seconds_to_first_post']}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
