"""Options that the stream and the daily parse share: they count alike, over the same lake."""

from __future__ import annotations

import argparse
from typing import ClassVar

from apache_beam.options.pipeline_options import PipelineOptions

from transforms.mentions import DEFAULT_SHARDS
from transforms.windows import ALLOWED_LATENESS_SECONDS


class CountingOptions(PipelineOptions):
    """Options of every pipeline that counts posts."""

    NAMES: ClassVar[tuple[str, ...]] = ("lake", "shards", "allowed_lateness_seconds")

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("counting")
        group.add_argument(
            "--lake",
            default="",
            help="raw/, dead/ and outliers/ go below this s3:// address or folder; default: LAKE, with --input build/lake",
        )
        group.add_argument(
            "--shards",
            type=int,
            default=DEFAULT_SHARDS,
            help="parts of the vocabulary, counted and scored apart; several per parallel task; default: %(default)s",
        )
        group.add_argument(
            "--allowed_lateness_seconds",
            type=int,
            default=ALLOWED_LATENESS_SECONDS,
            help="event time that a window stays open for late posts after its end; default: %(default)s",
        )
