"""COCO detection: the values by faster_coco_eval, and the matching behind them as measures that can be resampled.

A pair is one category on one image; here a phrase on an image is such a pair as well, with a single category.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from ..statistics.measure import Bools, Floats, Ints, Sums
from ..statistics.ranking import RankedHits

MOST_BOXES = 100
"""COCO's limit: the highest scoring predictions of a pair that count."""
THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""COCO's IoU thresholds."""
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""COCO's ranges of area in square pixels, both ends included."""
PLACES = {
    "ap": 0,
    "ap50": 1,
    "ap75": 2,
    "ap_small": 3,
    "ap_medium": 4,
    "ap_large": 5,
    "ar_1": 6,
    "ar_10": 7,
    "ar_100": 8,
}
"""Names of the measures, and their places among COCO's twelve numbers."""

_NUMBERS_AT_ONCE = 2_000_000
_FREE, _HIT, _IGNORED = 0, 1, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Matching:
    """Pairs to be matched, predictions of each in falling order of score, `MOST_BOXES` at most.

    `ious`: float64[P, G] of each pair, for a crowd the part of the prediction inside it; `scores`: float64[P];
    `areas`: float64[P] in square pixels; `truth_areas`: float64[G]; `crowds`: bool[G]; `categories_N` int[N], below
    `num_categories`.
    """

    ious: Sequence[Floats]
    scores: Sequence[Floats]
    areas: Sequence[Floats]
    truth_areas: Sequence[Floats]
    crowds: Sequence[Bools]
    categories_N: Ints
    num_categories: int = 1

    def ranked(self, area: str = "all") -> dict[str, Any]:
        """What `RankedHits` of all ten thresholds needs, but for its value."""
        low, high = AREAS[area]
        ignored = [
            crowd | (sizes < low) | (sizes > high) for crowd, sizes in zip(self.crowds, self.truth_areas, strict=True)
        ]
        found_DT = match(self.ious, ignored, self.crowds)
        areas_D = np.concatenate([np.zeros(0), *self.areas])
        is_outside_D = (areas_D < low) | (areas_D > high)
        ignored_DT = (found_DT == _IGNORED) | ((found_DT == _FREE) & is_outside_D[:, None])
        samples_D = np.repeat(np.arange(len(self.scores)), [len(part) for part in self.scores])
        truths_NK = np.zeros((len(self.scores), self.num_categories), np.int64)
        truths_NK[np.arange(len(self.scores)), self.categories_N] = [int((~part).sum()) for part in ignored]
        return {
            "rows_N": np.arange(len(self.scores)),
            "scores_D": np.concatenate([np.zeros(0), *self.scores]),
            "samples_D": samples_D,
            "hits_DT": found_DT == _HIT,
            "truths_N": truths_NK,
            "categories_D": self.categories_N[samples_D],
            "ignored_DT": ignored_DT if ignored_DT.any() else None,
        }


def match(ious: Sequence[Floats], ignored: Sequence[Bools], crowds: Sequence[Bools]) -> Ints:
    """int[D, T]: what each prediction of each pair meets at each threshold: nothing, a true region, an ignored one.

    COCO's rule: in falling order of score, a prediction takes the free true region that it overlaps most (the last of
    equals), an ignored one only where no other reaches the threshold; a crowd stays free. All pairs go together,
    their first predictions first.
    """
    starts = np.cumsum([0, *(len(part) for part in ious)])
    found_DT = np.zeros((starts[-1], len(THRESHOLDS)), np.int64)
    for pairs in _batches(ious):
        lengths = np.array([len(ious[pair]) for pair in pairs])
        ious_BPG, ignored_BG, crowds_BG = _padded(ious, ignored, crowds, pairs)
        free_BTG = np.ones((len(pairs), len(THRESHOLDS), ious_BPG.shape[2]), bool)
        for place in range(int(lengths.max())):
            here = int((lengths > place).sum())  # the longest pairs come first
            found_BT = _take(ious_BPG[:here, place], ignored_BG[:here], crowds_BG[:here], free_BTG[:here])
            found_DT[starts[pairs[:here]] + place] = found_BT
    return found_DT


def _batches(ious: Sequence[Floats]) -> Iterator[Ints]:
    """Places of pairs with predictions and truth, like sizes together and the longest first, a bounded size each."""
    shapes = np.array([part.shape for part in ious], np.int64).reshape(-1, 2)
    order = np.lexsort((-shapes[:, 0], -shapes[:, 1]))
    order = order[shapes[order].all(axis=1)]
    while len(order):
        most = int(shapes[order[0], 1]) * (len(THRESHOLDS) + MOST_BOXES)
        batch, order = np.split(order, [max(1, _NUMBERS_AT_ONCE // most)])
        yield batch[np.argsort(-shapes[batch, 0], kind="stable")]


def _padded(
    ious: Sequence[Floats], ignored: Sequence[Bools], crowds: Sequence[Bools], pairs: Ints
) -> tuple[Floats, Bools, Bools]:
    """One block of each; the IoU of padding is -1."""
    most_p, most_g = np.max([ious[pair].shape for pair in pairs], axis=0)
    ious_BPG = np.full((len(pairs), most_p, most_g), -1.0)
    ignored_BG, crowds_BG = np.zeros((2, len(pairs), most_g), bool)
    for row, pair in enumerate(pairs):
        num_p, num_g = ious[pair].shape
        ious_BPG[row, :num_p, :num_g] = ious[pair]
        ignored_BG[row, :num_g], crowds_BG[row, :num_g] = ignored[pair], crowds[pair]
    return ious_BPG, ignored_BG, crowds_BG


def _take(ious_BG: Floats, ignored_BG: Bools, crowds_BG: Bools, free_BTG: Bools) -> Ints:
    """int[B, T]: what one prediction of each pair meets; what it takes is free no more."""
    lowest_T1 = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    open_BTG = np.where(free_BTG & (ious_BG[:, None] >= lowest_T1), ious_BG[:, None], -1.0)
    best_BT, has_BT = _last_best(np.where(ignored_BG[:, None], -1.0, open_BTG))
    found_BT = np.where(has_BT, _HIT, _FREE)
    if ignored_BG.any():
        other_BT, has_other_BT = _last_best(np.where(ignored_BG[:, None], open_BTG, -1.0))
        takes_BT = has_other_BT & ~has_BT
        best_BT = np.where(takes_BT, other_BT, best_BT)
        found_BT[takes_BT] = _IGNORED
    rows, columns = np.nonzero(found_BT)
    taken = best_BT[rows, columns]
    free_BTG[rows, columns, taken] = crowds_BG[rows, taken]
    return found_BT


def _last_best(values_BTG: Floats) -> tuple[Ints, Bools]:
    """Place of the highest value, the last of equals, and whether there is one at all (none is below 0)."""
    best_BT = values_BTG.shape[2] - 1 - values_BTG[..., ::-1].argmax(axis=2)
    return best_BT, np.take_along_axis(values_BTG, best_BT[..., None], axis=2)[..., 0] >= 0


def average_precisions(matching: Matching, values: Mapping[str, float]) -> dict[str, RankedHits]:
    """ap, ap50, ap75, and ap_small, ap_medium, ap_large where `values` names them; values as given there."""
    whole = matching.ranked()
    ignored_DT = whole["ignored_DT"]
    columns = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}
    found = {
        name: RankedHits(
            **whole
            | {"hits_DT": whole["hits_DT"][:, part], "ignored_DT": None if ignored_DT is None else ignored_DT[:, part]},
            value=values[name],
        )
        for name, part in columns.items()
    }
    sizes = [area for area in AREAS if f"ap_{area}" in values]
    return found | {f"ap_{area}": RankedHits(**matching.ranked(area), value=values[f"ap_{area}"]) for area in sizes}


def average_recall(hits: RankedHits, most: int, value: float) -> Sums:
    """Recall of the `most` highest scoring predictions of each pair, mean over thresholds and categories with truth.

    `hits`: the ranking of all ten thresholds, the pairs for samples.
    """
    firsts_N = np.searchsorted(hits.samples_D, np.arange(len(hits.rows_N)))
    is_in_D = np.arange(len(hits.samples_D)) - firsts_N[hits.samples_D] < most
    found_N = np.bincount(hits.samples_D, hits.hits_DT.mean(axis=1) * is_in_D, len(hits.rows_N))
    found_NK = np.where(hits.truths_NK > 0, found_N[:, None], 0.0)
    columns_NK = np.concatenate([found_NK, hits.truths_NK.astype(np.float64)], 1)
    return Sums(value=value, rows_N=hits.rows_N, columns_NK=columns_NK, formula=_mean_recall)


def _mean_recall(sums_RC: Floats) -> Floats:
    found_RK, truths_RK = np.split(sums_RC, 2, axis=1)
    has_truth_RK = truths_RK > 0
    with np.errstate(invalid="ignore"):
        return (found_RK / np.where(has_truth_RK, truths_RK, 1)).sum(1) / has_truth_RK.sum(1)


class PrPoint(NamedTuple):
    """One point of the curve: predictions that score `threshold` and more."""

    threshold: float
    recall: float
    precision: float


def pr_curve(hits: RankedHits) -> list[PrPoint]:
    """Precision against recall at the first IoU threshold, one point a score, falling; all categories together."""
    order_D = np.argsort(-hits.scores_D, kind="stable")
    scores_D = hits.scores_D[order_D]
    lasts_U = np.flatnonzero(np.diff(scores_D, append=-np.inf))
    right_U = np.cumsum(hits.hits_DT[order_D, 0])[lasts_U]
    points = zip(scores_D[lasts_U], right_U / hits.truths_N.sum(), right_U / (lasts_U + 1), strict=True)
    return [PrPoint(*(float(number) for number in point)) for point in points]


def coco_stats(
    truth: Mapping[str, Any], found: Sequence[Mapping[str, Any]], iou_type: Literal["bbox", "segm"]
) -> list[float]:
    """COCO's twelve numbers by faster_coco_eval, silently: `PLACES` names nine; -1 where no true region is of a size.

    Annotation ids must not be 0, which COCO's matching reads as "unmatched".
    """
    reference = COCO({**truth, "annotations": [dict(row) for row in truth["annotations"]]})
    results = reference.loadRes([dict(row) for row in found])
    evaluation = COCOeval_faster(reference, results, iou_type, print_function=lambda *_: None)
    evaluation.run()
    return [float(value) for value in evaluation.stats]
