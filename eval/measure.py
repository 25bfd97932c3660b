"""What a metric leaves behind for resampling: small per-sample statistics and the value they give under any weights.

A resample that draws sample i twice is a weight of 2, so that 1000 resamples are one matrix product and no metric is
ever recomputed from text or boxes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

RECALLS = np.linspace(0.0, 1.0, 101)
"""COCO's recall points."""


class Measure(Protocol):
    """One metric of one run, ready for resampling.

    `value`: on the full set, as the reference library gives it; `rows_N` int64[N]: its samples' places among the
    inputs of the metric; `method`: the bootstrap interval that suits it.
    """

    method: ClassVar[str]

    @property
    def value(self) -> float:
        """The metric on the full set."""
        ...

    @property
    def rows_N(self) -> Ints:
        """Places of the samples among the inputs."""
        ...

    @property
    def width(self) -> int:
        """Numbers held for each resample."""
        ...

    def at(self, weights_RN: Floats) -> Floats:
        """float64[R]: the metric under each row of sample weights; nan where they leave it undefined."""
        ...

    def picked(self, keep_N: Bools) -> Self:
        """The same metric on some of its samples, value included; rows stay places among all inputs."""
        ...

    def grouped(self, codes_N: Ints, num: int) -> Self:
        """The same metric with clusters for samples: `codes_N` int64[N] in [0, num), a weight for each cluster."""
        ...

    def joined(self, other: Self) -> Self:
        """Two systems' samples, the other's after this one's; the value means nothing."""
        ...


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measures of one run. Inputs are records, or phrases of records.

    `clusters`: the cluster of each input; `strata`: axis (modality, level, ...) -> the label of each input, "" for
    none; `counts`: what was counted, of which `scored`, `abstained`, `failed` and `skipped` add up to `n`; `notes`:
    what a reader of the table must know, such as why a metric is missing.
    """

    protocol: str
    version: str
    measures: Mapping[str, Measure]
    clusters: Sequence[str]
    counts: Mapping[str, int]
    strata: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()


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

    def picked(self, keep_N: Bools) -> "Sums":
        """The sums of some samples; the value is the formula of them."""
        columns_NK = self.columns_NK[keep_N]
        value = float(self.formula(columns_NK.sum(0, keepdims=True))[0]) if keep_N.any() else float("nan")
        return replace(self, value=value, rows_N=self.rows_N[keep_N], columns_NK=columns_NK)

    def grouped(self, codes_N: Ints, num: int) -> "Sums":
        """The sums of each cluster."""
        columns_CK = np.stack([np.bincount(codes_N, column, num) for column in self.columns_NK.T], 1)
        return replace(self, rows_N=np.arange(num), columns_NK=columns_CK)

    def joined(self, other: "Sums") -> "Sums":
        """Both systems' columns."""
        columns_NK = np.concatenate([self.columns_NK, other.columns_NK])
        return replace(self, value=float("nan"), rows_N=np.arange(len(columns_NK)), columns_NK=columns_NK)


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

    def picked(self, keep_N: Bools) -> "RankedHits":
        """The ranking of some samples' detections."""
        kept_D = keep_N[self.samples_D]
        part = replace(
            self,
            rows_N=self.rows_N[keep_N],
            scores_D=self.scores_D[kept_D],
            samples_D=(np.cumsum(keep_N) - 1)[self.samples_D[kept_D]],
            hits_DT=self.hits_DT[kept_D],
            truths_N=self.truths_N[keep_N],
        )
        return replace(part, value=float(part.at(np.ones((1, int(keep_N.sum()))))[0]))

    def grouped(self, codes_N: Ints, num: int) -> "RankedHits":
        """The same ranking, each detection weighted with its cluster."""
        truths_C = np.bincount(codes_N, self.truths_N, num)
        return replace(self, rows_N=np.arange(num), samples_D=codes_N[self.samples_D], truths_N=truths_C)

    def joined(self, other: "RankedHits") -> "RankedHits":
        """One ranking of both systems' detections."""
        return RankedHits(
            value=float("nan"),
            rows_N=np.arange(len(self.rows_N) + len(other.rows_N)),
            scores_D=np.concatenate([self.scores_D, other.scores_D]),
            samples_D=np.concatenate([self.samples_D, other.samples_D + len(self.rows_N)]),
            hits_DT=np.concatenate([self.hits_DT, other.hits_DT]),
            truths_N=np.concatenate([self.truths_N, other.truths_N]),
        )
