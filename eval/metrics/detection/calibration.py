"""Calibration of box scores: does a box that scores .8 hit in 8 of 10 cases?"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ...statistics.measure import Bools, Floats, Measures, Sums, from_sums, ratio
from .pairs import Pairs

BINS = 15
"""Bins of equal width in [0, 1]."""

Scored = Sequence[tuple[Floats, Bools]]
"""The (scores, is right) of the boxes of each sample."""


def measures(pairs: Pairs) -> Measures:
    """Ece and brier of (score, IoU >= .5 with a true box), where any box is predicted."""
    scored = [(pair.scores_P, pair.right_P) for pair in pairs.all]
    if not any(len(scores_P) for scores_P, _ in scored):
        return {}
    squares_N2 = np.array([[((scores - right) ** 2).sum(), len(scores)] for scores, right in scored], np.float64)
    return {"ece": calibration_error(scored), "brier": from_sums(squares_N2, ratio)}


def calibration_error(scored: Scored, bins: int = BINS) -> Sums:
    """Expected calibration error (l1): mean |score - part right| of the bins, weighted with their boxes.

    Equal to `BinaryCalibrationError` of torchmetrics; like there, a bin holds its lower edge and a score of 1 has a
    bin of its own. Some sample must have a box.
    """

    def error(sums_RK: Floats) -> Floats:
        counts_RB, scores_RB, right_RB = np.split(sums_RK, 3, axis=1)
        with np.errstate(invalid="ignore"):  # a resample without a box
            return np.abs(scores_RB - right_RB).sum(1) / counts_RB.sum(1)

    return from_sums(np.stack([_sum_bins(*boxes, bins).ravel() for boxes in scored]), error)


def _sum_bins(scores_P: Floats, right_P: Bools, bins: int) -> Floats:
    """float64[3, bins + 1]: boxes, their scores and the right ones, summed in each bin."""
    # side="right": a bin holds its lower edge; a score of 1 falls into the one past the last
    bins_P = np.searchsorted(np.linspace(0, 1, bins + 1), scores_P, side="right") - 1
    parts = (np.ones_like(scores_P), scores_P, right_P)
    return np.stack([np.bincount(bins_P, part, bins + 1) for part in parts]).astype(np.float64)


def reliability(scores_P: Floats, right_P: Bools, bins: int = BINS) -> list[dict[str, float]]:
    """The reliability diagram: each bin that holds a box, from `low` to `high`, and for 1 a bin of its own.

    `score`, `accuracy`: mean score, and part right, of its `boxes`.
    """
    edges = [*np.linspace(0, 1, bins + 1).tolist(), 1.0]
    rows = _sum_bins(scores_P, right_P, bins).T.tolist()
    return [
        {"low": low, "high": high, "score": total / num, "accuracy": right / num, "boxes": int(num)}
        for (low, high), (num, total, right) in zip(pairwise(edges), rows, strict=True)
        if num
    ]
