"""What the peers' rates mean for ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.throughput.peers.engine import PEERS


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table of ratios of one run: our steady rate of counting, by source, over each peer's."""
    rates = {result["name"]: result["steady_posts_per_s"] for result in results}
    ours = [name for name in rates if name.startswith("count")]
    lines = [f"| | {' | '.join(f'{name} ÷ it' for name in ours)} |", f"| --- |{' ---: |' * len(ours)}"]
    lines += [f"| {peer} | {' | '.join(f'{rates[name] / rates[peer]:.2f}' for name in ours)} |" for peer in PEERS]
    return "\n".join(lines)
