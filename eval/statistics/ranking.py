"""Average precision of ranked detections as a measure: no matching is repeated for a resample."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from .measure import Bools, Floats, Ints, Measure

RECALLS = np.linspace(0.0, 1.0, 101)
"""COCO's recall points."""
_NUMBERS_AT_ONCE = 100_000
"""Numbers of a step of the arithmetic, so that they stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedHits(Measure):
    """Average precision: COCO's 101 recall points, precision made monotone, mean over IoU thresholds and categories.

    `scores_D`, `samples_D`: score and sample of each detection; `hits_DT` bool[D, T]: matched at each threshold;
    `truths_N`: true regions a sample, int[N], or int[N, K] of K categories; then `categories_D` names each
    detection's. `ignored_DT` bool[D, T]: detections that the ranking leaves out (COCO: on a crowd, or of another
    size). Equal scores keep the order given. A category without a true region has no part in the mean.
    """

    scores_D: Floats
    samples_D: Ints
    hits_DT: Bools
    truths_N: Ints
    categories_D: Ints | None = None
    ignored_DT: Bools | None = None
    method: ClassVar[str] = "percentile"

    @property
    def width(self) -> int:
        """Weights of samples and of detections a resample."""
        return len(self.rows_N) + 4 * len(self.scores_D)

    def value_at(self, weights_RN: Floats) -> Floats:
        """float64[R]: average precision; nan for weights that leave no true region."""
        truths_RK = weights_RN @ self.truths_NK.astype(np.float64)
        precision_RK = np.zeros_like(truths_RK)
        shared_samples, thresholds = self._thresholds
        step = max(1, _NUMBERS_AT_ONCE // max(1, len(self.scores_D)))
        for start in range(0, len(weights_RN), step):
            rows = slice(start, start + step)
            shared_RD = _sum_running(weights_RN[rows].take(shared_samples, axis=1))
            for threshold in thresholds:
                threshold.add_precision(weights_RN[rows], shared_RD, truths_RK[rows], precision_RK[rows])
        has_truth_RK = truths_RK > 0
        with np.errstate(invalid="ignore"):
            return (precision_RK * has_truth_RK).sum(1) / self.hits_DT.shape[1] / has_truth_RK.sum(1)

    @cached_property
    def _thresholds(self) -> "tuple[Ints, list[_ThresholdHits]]":
        """Samples of the detections ranked at every threshold; and the hits of each threshold that has any."""
        codes_D = np.zeros(len(self.scores_D), np.int64) if self.categories_D is None else self.categories_D
        order_D = np.lexsort((-self.scores_D, codes_D))  # category by category, falling scores
        samples_D, codes_D = self.samples_D[order_D], codes_D[order_D]
        hits_TD = np.ascontiguousarray(self.hits_DT[order_D].T)
        kept_TD = np.ones_like(hits_TD) if self.ignored_DT is None else ~self.ignored_DT[order_D].T
        shared_D = np.logical_and.reduce(kept_TD)
        hits = [
            _ThresholdHits(samples_D, codes_D, hits_D, shared_D, kept_D & ~shared_D)
            for hits_D, kept_D in zip(hits_TD, kept_TD, strict=True)
            if hits_D.any()
        ]
        return samples_D[shared_D], hits

    @property
    def rank_in_sample_D(self) -> Ints:
        """int[D]: how many detections of its sample come before each; those of a sample must stand together."""
        firsts_N = np.searchsorted(self.samples_D, np.arange(len(self.rows_N)))
        return np.arange(len(self.samples_D)) - firsts_N[self.samples_D]

    @property
    def truths_NK(self) -> Ints:
        """int[N, K]: true regions of each category a sample."""
        return self.truths_N.reshape(len(self.truths_N), -1)

    def subset(self, keep_N: Bools) -> Self:
        """The ranking of some samples' detections."""
        kept_D = keep_N[self.samples_D]
        part = replace(
            self,
            rows_N=self.rows_N[keep_N],
            scores_D=self.scores_D[kept_D],
            samples_D=(np.cumsum(keep_N) - 1)[self.samples_D[kept_D]],
            hits_DT=self.hits_DT[kept_D],
            truths_N=self.truths_N[keep_N],
            categories_D=None if self.categories_D is None else self.categories_D[kept_D],
            ignored_DT=None if self.ignored_DT is None else self.ignored_DT[kept_D],
        )
        return replace(part, value=float(part.value_at(np.ones((1, int(keep_N.sum()))))[0]))

    def aggregate(self, codes_N: Ints, num: int) -> Self:
        """The same ranking, each detection weighted with its cluster."""
        truths_C = np.zeros((num, *self.truths_N.shape[1:]), np.int64)
        np.add.at(truths_C, codes_N, self.truths_N)
        return replace(self, rows_N=np.arange(num), samples_D=codes_N[self.samples_D], truths_N=truths_C)

    def concat(self, other: Self) -> Self:
        """One ranking of both systems' detections."""
        names = ("scores_D", "hits_DT", "truths_N", "categories_D", "ignored_DT")
        pairs = {name: [getattr(self, name), getattr(other, name)] for name in names}
        is_whole = {name: all(part is not None for part in pair) for name, pair in pairs.items()}
        joint = {name: np.concatenate(pair) if is_whole[name] else None for name, pair in pairs.items()}
        samples_D = np.concatenate([self.samples_D, other.samples_D + len(self.rows_N)])
        rows_N = np.arange(len(self.rows_N) + len(other.rows_N))
        return replace(self, value=float("nan"), rows_N=rows_N, samples_D=samples_D, **joint)


class _ThresholdHits:
    """The hits of one threshold, category by category in falling order of score.

    Precision peaks and recall steps at hits only, so that misses (-) need no entry of their own; S counts categories
    that have a hit, H hits. Five detections of two categories, all weights 1:

        category   0    0    0  | 1    1
        detection  hit  -    hit| -    hit        kinds_S     0  1
        ranks_H    1         3         5          starts_S    0  2     the first hit of each category
        sums_RH    1         2         3          lengths_S   2  1
                                                  firsts_S    0  3     detections before the category

    Running sums never start anew: what stood before the category is taken off later, (3 - 2) hits of (5 - 3) ranks
    for the last one. `samples_H`: the samples of the hits. A threshold can rank detections that others leave out
    (ignored ones): `own_samples_E` are theirs, `own_ranks_H` and `own_firsts_S` count these besides.
    """

    def __init__(self, samples_D: Ints, categories_D: Ints, is_hit_D: Bools, is_shared_D: Bools, is_own_D: Bools):
        hits_H = np.flatnonzero(is_hit_D)
        self.samples_H, kinds_H = samples_D[hits_H], categories_D[hits_H]
        self.own_samples_E = samples_D[is_own_D]
        self.starts_S = np.flatnonzero(np.diff(kinds_H, prepend=-1))
        self.lengths_S = np.diff(self.starts_S, append=len(hits_H))
        self.kinds_S = kinds_H[self.starts_S]
        first_indices_S = np.searchsorted(categories_D, self.kinds_S)
        ranks_D, own_ranks_D = (np.concatenate([[0], np.cumsum(is_in_D)]) for is_in_D in (is_shared_D, is_own_D))
        self.ranks_H, self.own_ranks_H = ranks_D[hits_H + 1], own_ranks_D[hits_H + 1]
        self.firsts_S, self.own_firsts_S = ranks_D[first_indices_S], own_ranks_D[first_indices_S]

    def add_precision(self, weights_RN: Floats, shared_RD: Floats, truths_RK: Floats, precision_RK: Floats) -> None:
        """Add the average precision of each category to `precision_RK`.

        `shared_RD`: running sums of the weights of what every threshold ranks, computed once for all of them. For the
        example above, category 0 with two true regions:

            hit             1st   2nd                       recall point   0 ... .5   .51 ... 1
            precision_RH    1/1   2/3                       hits needed    0 ... 1    2   ... 2
            peak from here  1     2/3                       read at hit    1st        2nd
        """
        sums_RH = np.cumsum(weights_RN.take(self.samples_H, axis=1), axis=1)
        before_RS = np.where(self.starts_S > 0, sums_RH[:, self.starts_S - 1], 0.0)
        # int[R, S, 101]: the hit that reaches each recall point of its category; past the last one if none does
        truths_RS1 = truths_RK[:, self.kinds_S, None]
        need_RSP = np.ceil(RECALLS * truths_RS1 - 1e-9)
        need_RSP += need_RSP / np.maximum(truths_RS1, 1) < RECALLS  # the points are 0.01 k, but rounded
        need_RSP += before_RS[..., None]
        reached = [np.searchsorted(sums_H, need_SP) for sums_H, need_SP in zip(sums_RH, need_RSP, strict=True)]
        reached_RSP = np.maximum(reached, self.starts_S[:, None])
        rank_RH, rank_before_RS = shared_RD.take(self.ranks_H, axis=1), shared_RD[:, self.firsts_S]
        if len(self.own_samples_E):
            own_RE = _sum_running(weights_RN.take(self.own_samples_E, axis=1))
            rank_RH += own_RE.take(self.own_ranks_H, axis=1)
            rank_before_RS += own_RE[:, self.own_firsts_S]
        if len(self.kinds_S) > 1 or rank_before_RS.any():  # else there is nothing to take off
            sums_RH -= np.repeat(before_RS, self.lengths_S, axis=1)
            rank_RH -= np.repeat(rank_before_RS, self.lengths_S, axis=1)
        precision_RH = sums_RH / np.maximum(rank_RH, 1e-12)
        precision_RK[:, self.kinds_S] += self._peaks(precision_RH, reached_RSP).mean(2)

    def _peaks(self, precision_RH: Floats, reached_RSP: Ints) -> Floats:
        """float64[R, S, 101]: the highest precision there or later in the category; 0 past its last hit.

        One running maximum from the right serves all categories: each stands 2 above the next one, so that the
        maximum of a later category (at most 1 + its own step) never reaches into an earlier one.
        """
        steps_S = 2.0 * np.arange(len(self.starts_S))[::-1]
        if len(steps_S) > 1:
            precision_RH += np.repeat(steps_S, self.lengths_S)
        highest_RH = np.maximum.accumulate(precision_RH[:, ::-1], axis=1)[:, ::-1]
        ends_S1 = (self.starts_S + self.lengths_S)[:, None]
        indices_RX = np.minimum(reached_RSP, ends_S1 - 1).reshape(len(reached_RSP), -1)
        peaks_RSP = np.take_along_axis(highest_RH, indices_RX, axis=1).reshape(reached_RSP.shape) - steps_S[:, None]
        return np.where(reached_RSP < ends_S1, peaks_RSP, 0.0)


def _sum_running(values_RD: Floats) -> Floats:
    """float64[R, D + 1]: the sum of the first 0, 1, ... values."""
    sums_RD = np.zeros((len(values_RD), values_RD.shape[1] + 1))
    np.cumsum(values_RD, axis=1, out=sums_RD[:, 1:])
    return sums_RD
