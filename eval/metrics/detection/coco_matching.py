"""COCO's matching of predictions with truth, for all pairs at once, ready for a ranking that can be resampled.

A pair is one category on one image; here a phrase on an image is such a pair as well, with a single category.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...statistics.measure import Bools, Floats, Ints

MAX_BOXES = 100
"""COCO's limit: the highest scoring predictions of a pair that count."""
THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""COCO's IoU thresholds."""
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""COCO's ranges of area in square pixels, both ends included."""
_NUMBERS_AT_ONCE = 2_000_000
_FREE, _HIT, _IGNORED = 0, 1, 2
"""What a prediction meets: nothing, a true region, or one that the ranking leaves out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Matching:
    """Pairs to be matched, predictions of each in falling order of score, `MAX_BOXES` at most.

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

    def rank(self, area: str = "all") -> dict[str, Any]:
        """What `RankedHits` of all ten thresholds needs, but for its value."""
        low, high = AREAS[area]
        sides = zip(self.crowds, self.truth_areas, strict=True)
        ignored = [crowds_G | (areas_G < low) | (areas_G > high) for crowds_G, areas_G in sides]
        met_DT = match(self.ious, ignored, self.crowds)
        areas_D = np.concatenate([np.zeros(0), *self.areas])
        is_outside_D = (areas_D < low) | (areas_D > high)
        ignored_DT = (met_DT == _IGNORED) | ((met_DT == _FREE) & is_outside_D[:, None])
        samples_D = np.repeat(np.arange(len(self.scores)), [len(part) for part in self.scores])
        truths_NK = np.zeros((len(self.scores), self.num_categories), np.int64)
        truths_NK[np.arange(len(self.scores)), self.categories_N] = [int((~part).sum()) for part in ignored]
        return {
            "rows_N": np.arange(len(self.scores)),
            "scores_D": np.concatenate([np.zeros(0), *self.scores]),
            "samples_D": samples_D,
            "hits_DT": met_DT == _HIT,
            "truths_N": truths_NK,
            "categories_D": self.categories_N[samples_D],
            "ignored_DT": ignored_DT if ignored_DT.any() else None,
        }


def match(ious: Sequence[Floats], ignored: Sequence[Bools], crowds: Sequence[Bools]) -> Ints:
    """int[D, T]: what each prediction of each pair meets at each threshold: nothing, a true region, an ignored one.

    COCO's rule: in falling order of score, a prediction takes the free true region that it overlaps most (the last of
    equals), an ignored one only where no other reaches the threshold; a crowd stays free. All pairs go together,
    their first predictions first.

    One pair, IoUs with two true regions, at threshold .5 (o marks what is taken, x what is taken already):

        prediction  score   truth 0  truth 1   meets
        0           .9      .6       .7 o      truth 1, which it overlaps most
        1           .8      .5 o     .9 x      truth 0: the better one is taken
        2           .7      .8 x     .0        nothing: a false positive
    """
    starts = np.cumsum([0, *(len(part) for part in ious)])
    met_DT = np.zeros((starts[-1], len(THRESHOLDS)), np.int64)
    for pairs in _batches(ious):
        # a block of each, of the size of the largest pair; the IoU of padding is -1
        lengths = np.array([len(ious[pair]) for pair in pairs])
        max_g = max(ious[pair].shape[1] for pair in pairs)
        ious_BPG = np.full((len(pairs), lengths.max(), max_g), -1.0)
        ignored_BG, crowds_BG = np.zeros((2, len(pairs), max_g), bool)
        for row, pair in enumerate(pairs):
            num_p, num_g = ious[pair].shape
            ious_BPG[row, :num_p, :num_g] = ious[pair]
            ignored_BG[row, :num_g], crowds_BG[row, :num_g] = ignored[pair], crowds[pair]
        free_BTG = np.ones((len(pairs), len(THRESHOLDS), max_g), bool)
        for rank in range(int(lengths.max())):
            here = int((lengths > rank).sum())  # the longest pairs come first
            met_BT = _take(ious_BPG[:here, rank], ignored_BG[:here], crowds_BG[:here], free_BTG[:here])
            met_DT[starts[pairs[:here]] + rank] = met_BT
    return met_DT


def _batches(ious: Sequence[Floats]) -> Iterator[Ints]:
    """Indices of pairs with predictions and truth, like sizes together and the longest first, a bounded size each."""
    shapes = np.array([part.shape for part in ious], np.int64).reshape(-1, 2)
    order = np.lexsort((-shapes[:, 0], -shapes[:, 1]))
    order = order[shapes[order].all(axis=1)]
    while len(order):
        numbers = int(shapes[order[0], 1]) * (len(THRESHOLDS) + MAX_BOXES)
        batch, order = np.split(order, [max(1, _NUMBERS_AT_ONCE // numbers)])
        yield batch[np.argsort(-shapes[batch, 0], kind="stable")]


def _take(ious_BG: Floats, ignored_BG: Bools, crowds_BG: Bools, free_BTG: Bools) -> Ints:
    """int[B, T]: what one prediction of each pair meets; what it takes is free no more."""
    lowest_T1 = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]  # COCO's own guard against rounding
    open_BTG = np.where(free_BTG & (ious_BG[:, None] >= lowest_T1), ious_BG[:, None], -1.0)
    best_BT, has_BT = _last_best(np.where(ignored_BG[:, None], -1.0, open_BTG))
    met_BT = np.where(has_BT, _HIT, _FREE)
    if ignored_BG.any():  # an ignored region is met only where no other is
        other_BT, has_other_BT = _last_best(np.where(ignored_BG[:, None], open_BTG, -1.0))
        takes_BT = has_other_BT & ~has_BT
        best_BT = np.where(takes_BT, other_BT, best_BT)
        met_BT[takes_BT] = _IGNORED
    rows, columns = np.nonzero(met_BT)
    taken = best_BT[rows, columns]
    free_BTG[rows, columns, taken] = crowds_BG[rows, taken]  # a crowd can be met again
    return met_BT


def _last_best(values_BTG: Floats) -> tuple[Ints, Bools]:
    """Index of the highest value, the last of equals, and whether there is one at all (none is below 0)."""
    best_BT = values_BTG.shape[2] - 1 - values_BTG[..., ::-1].argmax(axis=2)
    return best_BT, np.take_along_axis(values_BTG, best_BT[..., None], axis=2)[..., 0] >= 0
