"""Submits what is measured: the full stream, or counting alone, with taps. The options of the stream follow its own.

python -m benchmarks.throughput.job --variant count --taps DIR --runner=FlinkRunner --detach …
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import apache_beam as beam

from beam_pipelines import stream
from beam_pipelines.stream import Place
from beam_pipelines.stream_options import StreamConfig
from benchmarks.throughput.taps import count_read, note_counts
from programs.errors import start
from transforms.decoding import DecodePosts
from transforms.mentions import CountMentions
from transforms.windows import MergePanes, WindowMentions

VARIANTS = ("count", "full")


def run(argv: Sequence[str]) -> int:
    """Submit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput.job", description=__doc__, add_help=False)
    parser.add_argument("--variant", choices=VARIANTS, required=True)
    parser.add_argument("--taps", required=True)
    own, others = parser.parse_known_args(argv)

    def build(pipeline: beam.Pipeline, config: StreamConfig, place: Place) -> None:
        batches = stream.read_posts(pipeline, config, place) | "CountRead" >> count_read(own.taps)
        if own.variant == "count":
            windows = count(batches, config)
        else:
            windows = stream.process(batches, config) | "CountedWindows" >> beam.Map(lambda scored: scored.window)
        windows | "NoteCounts" >> note_counts(own.taps, config.shards)

    return stream.run(others, build)


def count(batches: beam.PCollection, config: StreamConfig) -> beam.PCollection:
    """Count words per window, as the stream does, and nothing else."""
    return (
        (batches | "DecodePosts" >> DecodePosts())[DecodePosts.POSTS]
        | "CountMentions" >> CountMentions(config.shards)
        | "WindowMentions" >> WindowMentions(config.early_firing_seconds, config.allowed_lateness_seconds)
        | "MergePanes" >> MergePanes()
        | "Counts" >> beam.Values()
    )


if __name__ == "__main__":
    # Workers import this module by its name; what is defined in __main__ they could not find.
    from benchmarks.throughput import job  # noqa: PLW0406

    start(job.run)
