"""The report's plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

mpl.use("svg")  # no display needed
from matplotlib import pyplot as plt

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
NOMINAL = (1e-2, 1e-3, 1e-4)
"""Nominal p-values at which calibration is measured."""


def _save(path: Path) -> None:
    plt.tight_layout()
    plt.savefig(path, metadata={"Date": None})  # the same data give the same bytes
    plt.close()


def precision_recall(curves: Mapping[str, Curve], path: Path) -> None:
    """Draw precision over recall, a curve (precision, recall) per detector."""
    plt.figure(figsize=(6, 4.5))
    for name, (precision, recall) in curves.items():
        plt.plot(recall, precision, label=name, linewidth=2 if name == next(iter(curves)) else 1)
    plt.xlabel("recall of events")
    plt.ylabel("precision")
    plt.xlim(0, 1)
    plt.ylim(0, 1.02)
    plt.legend()
    _save(path)


def calibration(rates: Mapping[str, list[float]], path: Path) -> None:
    """Draw observed over nominal rates at ``NOMINAL``, a line per volume class; on the diagonal it is calibrated."""
    plt.figure(figsize=(6, 4.5))
    plt.loglog(NOMINAL, NOMINAL, "k:", label="calibrated")
    for name, ratios in rates.items():
        plt.loglog(NOMINAL, np.array(NOMINAL) * np.array(ratios), marker="o", label=name)
    plt.xlabel("nominal p-value")
    plt.ylabel("share of quiet windows below it")
    plt.legend()
    _save(path)


def ladder(areas: Mapping[str, float], path: Path) -> None:
    """Draw the area under precision-recall of each variant."""
    plt.figure(figsize=(7, 4))
    plt.barh(list(areas)[::-1], list(areas.values())[::-1])
    plt.xlabel("area under precision-recall over events")
    plt.xlim(0, 1)
    _save(path)
