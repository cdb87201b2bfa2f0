"""The detectors that a command line can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from detection.threshold import ThresholdDetector

DETECTORS: dict[str, Callable[[], Any]] = {"threshold": ThresholdDetector}
