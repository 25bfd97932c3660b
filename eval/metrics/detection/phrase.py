"""Phrase grounding: COCO's measures with each (image, phrase) as its own image, and those of zero, one or many boxes.

Pairs without a true region stay in: their predictions are false positives and lower the average precision.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ....grounding.bad_input import BadInput
from ...catalog import GROUNDING_MEASURES
from ...statistics.measure import Floats, Measures, Sums, divide, from_sums, mean
from .pairs import Pair, Pairs

PROTOCOL = "phrase_grounding"
VERSION = "2"


def grounding_measures(pairs: Sequence[Pair]) -> Measures:
    """Every measure of phrase grounding, by name; those that the pairs leave undefined are left out.

    All pairs: ap, ap50, ap75, ar_100; cpm (`froc`); pr_f1_50 (`is_exact`); f1_50, precision_50, recall_50 of confident
    boxes. Pairs with a true box: miou (the best scoring box, failures 0), acc_iou50, union_iou, hungarian_iou, t_acc
    (some confident box); with true masks: dice. Pairs without: n_acc (no confident box). Present and absent phrases:
    presence_auroc. Where any box is predicted: ece and brier of (score, IoU >= .5 with a true box).
    Raises `BadInput` when no pair has a true box.
    """
    run = Pairs(pairs)
    if not run.has_truth_N.any():
        raise BadInput("no true region in any record.", fix="score grounding on a set with annotated regions")
    tables = [entry.load().measures(run) for entry in GROUNDING_MEASURES.values()]
    return {name: measure for table in tables for name, measure in table.items()}


def measures(pairs: Pairs) -> Measures:
    """Those of single phrases, and of confident boxes, matched one to one as average precision matches them."""
    rows = np.flatnonzero(pairs.has_truth_N)
    here = [pairs.all[row] for row in rows.tolist()]
    # IoU of the best scoring box with the true box it meets best
    tops = np.array([float(pair.ious_PG[0].max()) if pair.ious_PG.size else 0.0 for pair in here])
    measures: Measures = {
        "miou": mean(tops, rows),
        "acc_iou50": mean(tops >= 0.5, rows),
        "union_iou": mean([union_iou(pair) for pair in here], rows),
        "hungarian_iou": mean([hungarian_iou(pair) for pair in here], rows),
        "t_acc": mean([pair.num_confident > 0 for pair in here], rows),
    }
    if dices := {row: pair.dice for row, pair in zip(rows, here, strict=True) if pair.dice is not None}:
        measures["dice"] = mean([*dices.values()], [*dices])
    hits, num = pairs.hits, len(pairs.all)
    confident_N, truths_N = np.array([[pair.num_confident, len(pair.truths_G4)] for pair in pairs.all]).T
    is_confident_D = hits.rank_in_sample_D < confident_N[hits.samples_D]
    right_N = np.bincount(hits.samples_D, hits.hits_DT[:, 0] & is_confident_D, num)
    measures["precision_50"] = _share(right_N, confident_N)
    measures["recall_50"] = _share(right_N, truths_N)
    measures["f1_50"] = _share(2 * right_N, confident_N + truths_N)
    measures["pr_f1_50"] = mean([is_exact(pair) for pair in pairs.all])
    absent = np.flatnonzero(~pairs.has_truth_N)
    if len(absent):
        measures["n_acc"] = mean(confident_N[absent] == 0, absent)
    return measures


def union_iou(pair: Pair) -> float:
    """IoU of the union of confident boxes and the union of the true boxes, exact: on the grid of all their edges."""
    boxes = np.concatenate([pair.boxes_P4[: pair.num_confident], pair.truths_G4]).astype(np.float64)
    # between two neighbouring edges nothing begins or ends: a cell lies in a box wholly or not at all
    xs, ys = np.unique(boxes[:, [0, 2]]), np.unique(boxes[:, [1, 3]])
    ours_YX, truth_YX = _cover(boxes[: pair.num_confident], xs, ys), _cover(boxes[pair.num_confident :], xs, ys)
    cells_YX = np.diff(ys)[:, None] * np.diff(xs)
    return float((cells_YX * (ours_YX & truth_YX)).sum() / (cells_YX * (ours_YX | truth_YX)).sum())


def _cover(boxes_B4: Floats, xs: Floats, ys: Floats) -> NDArray[np.bool_]:
    """bool[Y, X]: the cells between edges that lie in some box."""
    in_x_BX = (boxes_B4[:, :1] <= xs[:-1]) & (xs[1:] <= boxes_B4[:, 2:3])
    in_y_BY = (boxes_B4[:, 1:2] <= ys[:-1]) & (ys[1:] <= boxes_B4[:, 3:])
    return in_y_BY.T.astype(np.float32) @ in_x_BX.astype(np.float32) > 0


def hungarian_iou(pair: Pair) -> float:
    """Sum of the IoUs of the best one-to-one assignment of confident to true boxes, over the larger number of them."""
    ious = pair.ious_PG[: pair.num_confident]
    rows, columns = linear_sum_assignment(ious, maximize=True)
    # over the larger number, so that boxes too many and boxes too few both cost
    return float(ious[rows, columns].sum() / max(ious.shape))


def is_exact(pair: Pair) -> bool:
    """Every true box has its own confident box at IoU >= .5, and there is no other: F1 = 1; no box where nothing is.

    "Pr@(F1=1, IoU>=0.5)" of generalised grounding: He et al., GREC, https://arxiv.org/abs/2308.16182.
    """
    if pair.num_confident != len(pair.truths_G4):
        return False  # one box missing or one too many is enough
    is_met = pair.ious_PG[: pair.num_confident] >= 0.5
    return int(is_met[linear_sum_assignment(is_met, maximize=True)].sum()) == pair.num_confident


def _share(above_N: NDArray[np.generic], below_N: NDArray[np.generic]) -> Sums:
    """The ratio of two sums over all pairs; 0 where nothing is below."""
    columns_N2 = np.stack([above_N, below_N], 1).astype(np.float64)
    return from_sums(columns_N2, lambda sums_R2: divide(sums_R2[:, 0], sums_R2[:, 1], 0.0))
