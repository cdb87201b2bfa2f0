"""Options of the daily statistics."""

from __future__ import annotations

import argparse

from apache_beam.options.pipeline_options import PipelineOptions


class StatsOptions(PipelineOptions):
    """Options of the daily statistics; those of Beam and of the runner are accepted beside them."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("stats")
        group.add_argument(
            "--history_days",
            type=int,
            default=28,
            help="days of history that are learnt from, at most; the detector threshold takes 7 at most; "
            "default: %(default)s",
        )
        group.add_argument("--counts", nargs="+", default=[], help="CSV or CSV.gz files: keyword,window_start,mentions")
        group.add_argument(
            "--totals",
            default="",
            help="CSV or CSV.gz: window_start,total_posts; these windows are part of the history even without a mention",
        )
