"""Average precision of ranked detections as a measure: no matching is repeated for a resample."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from .measure import Bools, Floats, Ints

RECALLS = np.linspace(0.0, 1.0, 101)
"""COCO's recall points."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedHits:
    """Average precision: COCO's 101 recall points, precision made monotone, mean over IoU thresholds and categories.

    `scores_D`, `samples_D`: score and sample of each detection; `hits_DT` bool[D, T]: matched at each threshold;
    `truths_N`: true regions a sample, int[N], or int[N, K] of K categories; then `categories_D` names each
    detection's. `ignored_DT` bool[D, T]: detections that the ranking leaves out (COCO: on a crowd, or of another
    size). Equal scores keep the order given. A category without a true region has no part in the mean.
    """

    value: float
    rows_N: Ints
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

    def at(self, weights_RN: Floats) -> Floats:
        """float64[R]: average precision; nan for weights that leave no true region."""
        truths_RK = weights_RN @ self.truths_NK.astype(np.float64)
        order_D, has_all = self._order_D, self.ignored_DT is None
        ranked = _Ranked(weights_RN, self.samples_D[order_D], self._codes_D[order_D]) if has_all else None
        found_RK = np.zeros_like(truths_RK)
        for column in range(self.hits_DT.shape[1]):
            kept_D = order_D if self.ignored_DT is None else order_D[~self.ignored_DT[order_D, column]]
            part = ranked or _Ranked(weights_RN, self.samples_D[kept_D], self._codes_D[kept_D])
            part.add_precision(np.flatnonzero(self.hits_DT[kept_D, column]), truths_RK, found_RK)
        has_truth_RK = truths_RK > 0
        with np.errstate(invalid="ignore"):
            return (found_RK * has_truth_RK).sum(1) / self.hits_DT.shape[1] / has_truth_RK.sum(1)

    @property
    def truths_NK(self) -> Ints:
        """int[N, K]: true regions of each category a sample."""
        return self.truths_N.reshape(len(self.truths_N), -1)

    @property
    def _codes_D(self) -> Ints:
        return np.zeros(len(self.scores_D), np.int64) if self.categories_D is None else self.categories_D

    @cached_property
    def _order_D(self) -> Ints:
        """Category by category, falling scores."""
        return np.lexsort((-self.scores_D, self._codes_D))

    def picked(self, keep_N: Bools) -> Self:
        """The ranking of some samples' detections."""
        kept_D = keep_N[self.samples_D]
        part = replace(
            self._detections(kept_D),
            rows_N=self.rows_N[keep_N],
            samples_D=(np.cumsum(keep_N) - 1)[self.samples_D[kept_D]],
            truths_N=self.truths_N[keep_N],
        )
        return replace(part, value=float(part.at(np.ones((1, int(keep_N.sum()))))[0]))

    def _detections(self, kept_D: Bools) -> Self:
        return replace(
            self,
            scores_D=self.scores_D[kept_D],
            hits_DT=self.hits_DT[kept_D],
            categories_D=None if self.categories_D is None else self.categories_D[kept_D],
            ignored_DT=None if self.ignored_DT is None else self.ignored_DT[kept_D],
        )

    def grouped(self, codes_N: Ints, num: int) -> Self:
        """The same ranking, each detection weighted with its cluster."""
        truths_C = np.zeros((num, *self.truths_N.shape[1:]), np.int64)
        np.add.at(truths_C, codes_N, self.truths_N)
        return replace(self, rows_N=np.arange(num), samples_D=codes_N[self.samples_D], truths_N=truths_C)

    def joined(self, other: Self) -> Self:
        """One ranking of both systems' detections."""
        return replace(
            self,
            value=float("nan"),
            rows_N=np.arange(len(self.rows_N) + len(other.rows_N)),
            scores_D=np.concatenate([self.scores_D, other.scores_D]),
            samples_D=np.concatenate([self.samples_D, other.samples_D + len(self.rows_N)]),
            hits_DT=np.concatenate([self.hits_DT, other.hits_DT]),
            truths_N=np.concatenate([self.truths_N, other.truths_N]),
            categories_D=_both(self.categories_D, other.categories_D),
            ignored_DT=_both(self.ignored_DT, other.ignored_DT),
        )


def _both(one: NDArray[Any] | None, other: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if one is None or other is None else np.concatenate([one, other])


class _Ranked:
    """Detections in order of category and falling score, and how many of each category stand before each."""

    def __init__(self, weights_RN: Floats, samples_D: Ints, categories_D: Ints):
        self.categories_D = categories_D
        self.weights_RD = weights_RN.take(samples_D, axis=1)
        self.found_RD = np.cumsum(self.weights_RD, axis=1)

    def add_precision(self, hits_H: Ints, truths_RK: Floats, found_RK: Floats) -> None:
        """Add the average precision of each category at one threshold, `hits_H` being the places of its hits.

        Precision peaks and recall steps at hits only, so that misses need no place of their own.
        """
        if not len(hits_H):
            return
        kinds_H = self.categories_D[hits_H]
        starts_S = np.flatnonzero(np.diff(kinds_H, prepend=-1))  # the first hit of each category
        right_RH = np.cumsum(self.weights_RD.take(hits_H, axis=1), axis=1)
        rank_RH = self.found_RD.take(hits_H, axis=1)
        truths_RH = truths_RK[:, :1]
        if truths_RK.shape[1] > 1:
            truths_RH = truths_RK.take(kinds_H, axis=1)
            lengths_S = np.diff(starts_S, append=len(hits_H))
            right_RH -= np.repeat(_before(right_RH, starts_S), lengths_S, axis=1)
            firsts_S = np.searchsorted(self.categories_D, kinds_H[starts_S])
            rank_RH -= np.repeat(_before(self.found_RD, firsts_S), lengths_S, axis=1)
        peaks_RH = _peaks(right_RH / np.maximum(rank_RH, 1e-12), kinds_H)
        reached_RH = _recalls_reached(right_RH / np.maximum(truths_RH, 1e-12))
        steps_RH = np.diff(reached_RH, axis=1, prepend=0)
        steps_RH[:, starts_S] = reached_RH[:, starts_S]
        found_RK[:, kinds_H[starts_S]] += np.add.reduceat(peaks_RH * steps_RH, starts_S, axis=1) / len(RECALLS)


def _before(sums_RD: Floats, places_S: Ints) -> Floats:
    """float64[R, S]: the running sum just before each place."""
    return np.where(places_S > 0, sums_RD[:, places_S - 1], 0.0)


def _peaks(precision_RH: Floats, kinds_H: Ints) -> Floats:
    """The highest precision here or later in the category; a rising offset keeps each category's to itself."""
    offsets_H = 2.0 * (kinds_H[-1] - kinds_H)
    return np.maximum.accumulate((precision_RH + offsets_H)[:, ::-1], axis=1)[:, ::-1] - offsets_H


def _recalls_reached(recall_RH: Floats) -> Ints:
    """How many of the 101 recall points lie at or below each recall; exact, since the points are 0.01 k but rounded."""
    nearest_RH = np.minimum(recall_RH * 100 + 1e-9, 100).astype(np.int64)
    return nearest_RH + (RECALLS.take(nearest_RH) <= recall_RH)
