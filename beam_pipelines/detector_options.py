"""Options of every pipeline that fits a detector or judges by one."""

from __future__ import annotations

import argparse

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.detectors import DETECTORS
from detection.detector import Detector


class DetectorOptions(PipelineOptions):
    """Which detector, and how strict it is."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("detector")
        group.add_argument(
            "--detector", choices=sorted(DETECTORS), default="threshold", help="what judges; default: %(default)s"
        )


def detector_of(options: PipelineOptions) -> Detector:
    """Return the detector that the options ask for."""
    detector: Detector = DETECTORS[options.view_as(DetectorOptions).detector]()
    return detector
