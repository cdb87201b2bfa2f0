"""Plots of what was measured, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from benchmarks.throughput.report import SLICE_SECONDS

mpl.use("agg")  # no display needed
from matplotlib import pyplot as plt


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def suite(results: Sequence[Mapping[str, Any]], ratios: Mapping[str, float], path: Path) -> None:
    """Plot the rates of all contenders over time, and the ratios between them."""
    figure, (over_time, bars) = plt.subplots(1, 2, figsize=(12, 4.5), width_ratios=(3, 2))
    for result in results:
        slices = result["slices"]
        at = (np.arange(len(slices)) + 0.5) * SLICE_SECONDS
        over_time.plot(at, slices, marker=".", label=result["name"])
    over_time.set(
        xlabel="seconds since the first post", ylabel=f"posts/s, in slices of {SLICE_SECONDS} s", ylim=(0, None)
    )
    over_time.legend(fontsize="small")
    drawn = bars.barh(list(ratios), list(ratios.values()))
    bars.bar_label(drawn, fmt="%.2f", padding=3)
    bars.set(xlabel="ratio of steady rates", xlim=(0, 1.15 * max([1.0, *ratios.values()])))
    bars.invert_yaxis()
    _save(figure, path)


def series(points: Sequence[Mapping[str, Any]], what: str, path: Path) -> None:
    """Plot the rate, and the memory of the largest worker, against the size of something."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for name in dict.fromkeys(point["name"] for point in points):
        own = [point for point in points if point["name"] == name]
        sizes = [point["size"] for point in own]
        axes[0].plot(sizes, [point["steady_posts_per_s"] for point in own], marker="o", label=name)
        axes[1].plot(
            sizes, [point["peak_rss_mb_of_one"].get("python workers", 0) for point in own], marker="o", label=name
        )
    for ax, label in zip(axes, ("posts/s, steady", "MB, the largest Python worker"), strict=True):
        ax.set(xlabel=what, ylabel=label, ylim=(0, None))
        ax.set_xscale("symlog", linthresh=1_000)
        ax.legend(fontsize="small")
    _save(figure, path)


def latency(result: Mapping[str, Any], path: Path) -> None:
    """Plot the share of outliers that were told within so many seconds."""
    seconds = np.sort(result["seconds"])
    figure, ax = plt.subplots(figsize=(6, 4))
    ax.step(seconds, np.arange(1, len(seconds) + 1) / len(seconds), where="post")
    ax.axvline(result["p95_seconds"], linestyle=":", color="grey")
    ax.set(xlabel="seconds from post to outlier in Postgres", ylabel="share of bursts", xlim=(0, None), ylim=(0, 1))
    ax.set_title(f"{result['posts_per_s']:,} posts/s; p95 {result['p95_seconds']} s")
    _save(figure, path)
