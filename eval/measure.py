"""What a metric leaves behind for resampling: small per-sample statistics and the value they give under any weights.

A resample that draws sample i twice is a weight of 2, so that 1000 resamples are one matrix product and no metric is
ever recomputed from text or boxes. Every measure has its `value` on the full set as the reference library gives it;
`rows_N` int64[N], its samples' places among the inputs of the metric; `method`, the bootstrap interval that suits it;
`at(weights_RN)`, the metric under each row of sample weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RECALLS = np.linspace(0.0, 1.0, 101)
"""COCO's recall points."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """A metric that is a formula of sums over samples: means, corpus BLEU.

    `columns_NK` float64[N, K]: a sample's part of each sum; `formula`: float64[R, K] -> float64[R].
    """

    value: float
    rows_N: Ints
    columns_NK: Floats
    formula: Callable[[Floats], Floats]
    method: ClassVar[str] = "BCa"

    @property
    def width(self) -> int:
        """Weights a resample."""
        return len(self.rows_N)

    def at(self, weights_RN: Floats) -> Floats:
        """float64[R]: the formula of the weighted sums."""
        return self.formula(weights_RN @ self.columns_NK)


def mean(values_N: ArrayLike, rows_N: ArrayLike | None = None) -> Sums:
    """The mean over samples, as a ratio of sums. `rows_N`: places among the inputs, by default all in order."""
    values = np.asarray(values_N, np.float64)
    rows = np.arange(len(values)) if rows_N is None else np.asarray(rows_N, np.int64)
    columns_NK = np.stack([values, np.ones_like(values)], 1)
    return Sums(value=float(values.mean()), rows_N=rows, columns_NK=columns_NK, formula=_ratio)


def _ratio(sums_R2: Floats) -> Floats:
    return sums_R2[:, 0] / sums_R2[:, 1]


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedHits:
    """Average precision over one ranking: COCO's 101 recall points, precision made monotone, mean over IoU thresholds.

    `scores_D`, `samples_D`: score and sample of each detection; `hits_DT` bool[D, T]: matched at each threshold;
    `truths_N`: true regions a sample. Equal scores keep the order of the samples.
    """

    value: float
    rows_N: Ints
    scores_D: Floats
    samples_D: Ints
    hits_DT: NDArray[np.bool_]
    truths_N: Ints
    method: ClassVar[str] = "percentile"

    @property
    def width(self) -> int:
        """Weights of samples and of detections a resample."""
        return len(self.rows_N) + 4 * len(self.scores_D)

    def at(self, weights_RN: Floats) -> Floats:
        """float64[R]: average precision; nan for weights that leave no true region."""
        order_D = np.argsort(-self.scores_D, kind="stable")
        weights_RD = weights_RN[:, self.samples_D[order_D]]
        found_RD = np.cumsum(weights_RD, axis=1)
        truths_R = weights_RN @ self.truths_N.astype(np.float64)
        parts = [self._at(hits_D, weights_RD, found_RD, truths_R) for hits_D in self.hits_DT[order_D].T]
        return np.where(truths_R > 0, np.mean(parts, axis=0), np.nan)

    def _at(self, hits_D: NDArray[np.bool_], weights_RD: Floats, found_RD: Floats, truths_R: Floats) -> list[float]:
        """One threshold. Precision peaks and recall steps at hits only, so that misses need no place of their own."""
        right_RH = np.cumsum(weights_RD[:, hits_D], axis=1)
        precision_RH = right_RH / np.maximum(found_RD[:, hits_D], 1e-12)
        peaks_RH = np.maximum.accumulate(precision_RH[:, ::-1], axis=1)[:, ::-1]
        peaks_RH = np.concatenate([peaks_RH, np.zeros((len(peaks_RH), 1))], axis=1)  # recalls never reached
        recall_RH = right_RH / np.maximum(truths_R, 1e-12)[:, None]
        return [
            peaks[np.searchsorted(recall, RECALLS)].mean() for peaks, recall in zip(peaks_RH, recall_RH, strict=True)
        ]


Measure = Sums | RankedHits


def joined(a: Measure, b: Measure) -> Measure:
    """Two systems' samples, b's after a's; the value means nothing. Raises `TypeError` for measures of two kinds."""
    rows_N = np.arange(len(a.rows_N) + len(b.rows_N))
    if isinstance(a, Sums) and isinstance(b, Sums):
        columns_NK = np.concatenate([a.columns_NK, b.columns_NK])
        return Sums(value=np.nan, rows_N=rows_N, columns_NK=columns_NK, formula=a.formula)
    if isinstance(a, RankedHits) and isinstance(b, RankedHits):
        return RankedHits(
            value=np.nan,
            rows_N=rows_N,
            scores_D=np.concatenate([a.scores_D, b.scores_D]),
            samples_D=np.concatenate([a.samples_D, b.samples_D + len(a.rows_N)]),
            hits_DT=np.concatenate([a.hits_DT, b.hits_DT]),
            truths_N=np.concatenate([a.truths_N, b.truths_N]),
        )
    raise TypeError(f"cannot join {type(a).__name__} and {type(b).__name__}")
