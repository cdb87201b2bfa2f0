"""The detectors that a command line can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from detection.detector import Detector
from detection.keyword_detector import KeywordDetector
from detection.threshold import ThresholdDetector

DEFAULT_ALERTS_PER_DAY: Final = 100.0

DETECTORS: Final[dict[str, Callable[[], Detector]]] = {
    KeywordDetector.name: KeywordDetector,
    ThresholdDetector.name: ThresholdDetector,
}
"""The detectors by name, with their default settings; the first is the default."""

DEFAULT_DETECTOR: Final = next(iter(DETECTORS))


def make_detector(name: str, alerts_per_day: float = DEFAULT_ALERTS_PER_DAY) -> Detector:
    """Return a detector by name, with an alert budget if it keeps one."""
    return KeywordDetector(alerts_per_day) if name == KeywordDetector.name else DETECTORS[name]()
