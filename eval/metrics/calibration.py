"""Calibration of box scores: does a box that scores .8 hit in 8 of 10 cases?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..statistics.measure import Bools, Floats, Sums

BINS = 15
"""Bins of equal width in [0, 1]."""

Scored = Sequence[tuple[Floats, Bools]]
"""The (scores, is right) of the boxes of each sample."""


class Bin(NamedTuple):
    """One bar of the reliability diagram: mean score and part right of its `boxes`."""

    low: float
    high: float
    score: float
    accuracy: float
    boxes: int


def calibration_error(scored: Scored, bins: int = BINS) -> Sums:
    """Expected calibration error (l1): mean |score - part right| of the bins, weighted with their boxes.

    Equal to `BinaryCalibrationError` of torchmetrics; like there, a bin holds its lower edge and a score of 1 has a
    bin of its own. Some sample must have a box.
    """
    columns_NK = np.stack([_binned(*boxes, bins).ravel() for boxes in scored])
    value = float(_error(columns_NK.sum(0, keepdims=True))[0])
    return Sums(value=value, rows_N=np.arange(len(scored)), columns_NK=columns_NK, formula=_error)


def _binned(scores_P: Floats, right_P: Bools, bins: int) -> Floats:
    """float64[3, bins + 1]: boxes, their scores and the right ones, summed in each bin."""
    places = np.searchsorted(np.linspace(0, 1, bins + 1), scores_P, side="right") - 1
    parts = (np.ones_like(scores_P), scores_P, right_P)
    return np.stack([np.bincount(places, part, bins + 1) for part in parts]).astype(np.float64)


def _error(sums_RK: Floats) -> Floats:
    counts_RB, scores_RB, right_RB = np.split(sums_RK, 3, axis=1)
    with np.errstate(invalid="ignore"):  # a resample without a box
        return np.abs(scores_RB - right_RB).sum(1) / counts_RB.sum(1)


def brier(scored: Scored) -> Sums:
    """Mean squared difference of score and rightness over boxes."""
    columns_NK = np.array([[((scores - right) ** 2).sum(), len(scores)] for scores, right in scored], np.float64)
    return Sums(
        value=float(_mean(columns_NK.sum(0, keepdims=True))[0]),
        rows_N=np.arange(len(scored)),
        columns_NK=columns_NK,
        formula=_mean,
    )


def _mean(sums_R2: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return sums_R2[:, 0] / sums_R2[:, 1]


def reliability(scores_P: Floats, right_P: Bools, bins: int = BINS) -> list[Bin]:
    """The reliability diagram: each bin that holds a box. A score of 1 has its own bin, from 1 to 1."""
    edges = [*np.linspace(0, 1, bins + 1).tolist(), 1.0]
    counts_B, sums_B, rights_B = _binned(scores_P, right_P, bins)
    return [
        Bin(edges[place], edges[place + 1], float(sums_B[place] / count), float(rights_B[place] / count), int(count))
        for place, count in enumerate(counts_B)
        if count
    ]
