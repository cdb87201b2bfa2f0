"""Options of every pipeline that fits a detector or judges by one."""

from __future__ import annotations

import argparse
import math

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.detectors import DEFAULT_ALERTS_PER_DAY, DEFAULT_DETECTOR, DETECTORS, make_detector
from detection.detector import Detector
from programs.errors import UserError


class DetectorOptions(PipelineOptions):
    """Which detector, and how strict it is."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("detector")
        group.add_argument(
            "--detector", choices=sorted(DETECTORS), default=DEFAULT_DETECTOR, help="what judges; default: %(default)s"
        )
        group.add_argument(
            "--alerts_per_day",
            type=float,
            default=DEFAULT_ALERTS_PER_DAY,
            help="alert budget of the detector return_period: incidents a day, over all keywords, that its threshold "
            "aims at; default: %(default)g",
        )


def detector_of(options: PipelineOptions) -> Detector:
    """Return the detector that the options ask for.

    Raises:
        UserError: the budget is none.
    """
    own = options.view_as(DetectorOptions)
    if not 0 < own.alerts_per_day < math.inf:
        msg = "--alerts_per_day: expected a number above 0"
        raise UserError(msg)
    return make_detector(own.detector, own.alerts_per_day)
