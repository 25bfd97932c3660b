"""What a metric leaves behind for resampling: small per-sample statistics and the value they give under any weights.

A resample that draws sample i twice is a weight of 2, so that 1000 resamples are one matrix product and no metric is
ever recomputed from text or boxes. Suffixes: N samples, R resamples, C clusters, K sums.

    accuracy of 3 samples    columns_NK     weights of the resample {0, 0, 2}    sums      formula
    right                    1  1           2
    wrong                    0  1           0                                    3  3      3 / 3 = 1
    right                    1  1           1
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Measure(ABC):
    """One metric of one run, ready for resampling.

    `value`: on the full set, as the reference library gives it; `rows_N` int64[N]: its samples' indices among the
    inputs of the metric; `method`: the bootstrap interval that suits it.
    """

    value: float
    rows_N: Ints
    method: ClassVar[str]

    @property
    def width(self) -> int:
        """Numbers held for each resample."""
        return len(self.rows_N)

    @abstractmethod
    def value_at(self, weights_RN: Floats) -> Floats:
        """float64[R]: the metric under each row of sample weights; nan where they leave it undefined."""

    @abstractmethod
    def subset(self, keep_N: Bools) -> Self:
        """The same metric on some of its samples, value included; rows stay indices among all inputs."""

    @abstractmethod
    def aggregate(self, codes_N: Ints, num: int) -> Self:
        """The same metric with clusters for samples: `codes_N` int64[N] in [0, num), a weight for each cluster."""

    @abstractmethod
    def concat(self, other: Any) -> Self:
        """Two systems' samples, the other's after this one's; the value means nothing."""


Measures = dict[str, Measure]
"""Name of a metric -> what it leaves."""


class Facts(TypedDict, total=False):
    """What a result states of a served judge besides its numbers."""

    judge_prompt: str
    judge_model: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measures of one run. Inputs are records, or phrases of records.

    `clusters`: the cluster of each input; `strata`: axis (modality, level, ...) -> the label of each input, "" for
    none; `counts`: what was counted, of which `scored`, `abstained`, `failed` and `skipped` add up to `n`; `notes`:
    what a reader of the table must know, such as why a metric is missing; `facts`: what the result states besides.
    """

    protocol: str
    version: str
    measures: Mapping[str, Measure]
    clusters: Sequence[str]
    counts: Mapping[str, int]
    strata: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    facts: Facts = field(default_factory=Facts)


def count_samples(n: int, failed: int, skipped: int = 0) -> dict[str, int]:
    """`counts` of a run in which nothing can be abstained: scored are those neither failed nor skipped."""
    return {"n": n, "scored": n - failed - skipped, "abstained": 0, "failed": failed, "skipped": skipped}


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums(Measure):
    """A metric that is a formula of sums over samples: means, corpus BLEU.

    `columns_NK` float64[N, K]: a sample's part of each sum; `formula`: float64[R, K] -> float64[R].
    """

    columns_NK: Floats
    formula: Callable[[Floats], Floats]
    method: ClassVar[str] = "BCa"  # bias-corrected and accelerated: formulas of sums have a smooth jackknife

    def value_at(self, weights_RN: Floats) -> Floats:
        """float64[R]: the formula of the weighted sums."""
        return self.formula(weights_RN @ self.columns_NK)

    def subset(self, keep_N: Bools) -> Self:
        """The sums of some samples; the value is the formula of them."""
        columns_NK = self.columns_NK[keep_N]
        value = float(self.formula(columns_NK.sum(0, keepdims=True))[0]) if keep_N.any() else float("nan")
        return replace(self, value=value, rows_N=self.rows_N[keep_N], columns_NK=columns_NK)

    def aggregate(self, codes_N: Ints, num: int) -> Self:
        """The sums of each cluster."""
        columns_CK = np.stack([np.bincount(codes_N, column, num) for column in self.columns_NK.T], 1)
        return replace(self, rows_N=np.arange(num), columns_NK=columns_CK)

    def concat(self, other: Self) -> Self:
        """Both systems' columns."""
        columns_NK = np.concatenate([self.columns_NK, other.columns_NK])
        return replace(self, value=float("nan"), rows_N=np.arange(len(columns_NK)), columns_NK=columns_NK)


def from_sums(columns_NK: Floats, formula: Callable[[Floats], Floats], rows_N: ArrayLike | None = None) -> Sums:
    """A metric from its sums; its value is the formula at unit weights, so that both never disagree.

    `rows_N`: the samples' indices among the inputs, by default all in order.
    """
    rows = np.arange(len(columns_NK)) if rows_N is None else np.asarray(rows_N, np.int64)
    value = float(formula(columns_NK.sum(0, keepdims=True))[0])
    return Sums(value=value, rows_N=rows, columns_NK=columns_NK, formula=formula)


def ratio(sums_R2: Floats) -> Floats:
    """float64[R]: the first sum over the second; nan over 0."""
    return divide(sums_R2[:, 0], sums_R2[:, 1], float("nan"))


def divide(upper: Floats, lower: Floats, otherwise: float) -> Floats:
    """The quotient of two arrays, `otherwise` where the lower is 0."""
    return np.divide(upper, lower, out=np.full(upper.shape, otherwise), where=lower != 0)


def mean(values_N: ArrayLike, rows_N: ArrayLike | None = None) -> Sums:
    """The mean over samples, as a ratio of sums. `rows_N`: indices among the inputs, by default all in order."""
    values = np.asarray(values_N, np.float64)
    rows = np.arange(len(values)) if rows_N is None else np.asarray(rows_N, np.int64)
    columns_NK = np.stack([values, np.ones_like(values)], 1)
    return Sums(value=float(values.mean()), rows_N=rows, columns_NK=columns_NK, formula=_ratio)


def _ratio(sums_R2: Floats) -> Floats:
    return sums_R2[:, 0] / sums_R2[:, 1]


def proportion(measure: Measure) -> Bools | None:
    """bool[N]: right or wrong, for the `mean` of samples that are all 0 or 1; None for any other measure."""
    if not isinstance(measure, Sums) or measure.formula is not _ratio:  # `ratio` is of other sums: no proportion
        return None
    values_N, counts_N = measure.columns_NK.T
    return values_N == 1 if (counts_N == 1).all() and np.isin(values_N, (0, 1)).all() else None


def evaluate_together(measures: Sequence[Measure]) -> Callable[[Floats], Floats]:
    """float64[R, N] -> float64[M, R]: several measures of the same samples under the same weights.

    The columns of all sums meet the weights in one matrix product. Rounded to 12 decimals, so that resamples of equal
    value tie whatever the order of their sums: BCa counts ties.
    """
    columns = [measure.columns_NK for measure in measures if isinstance(measure, Sums)]
    columns_NK = np.concatenate(columns, 1) if columns else np.empty((0, 0))
    ends = np.cumsum([part_NK.shape[1] for part_NK in columns])[:-1]

    def at(weights_RN: Floats) -> Floats:
        parts = iter(np.split(weights_RN @ columns_NK, ends, axis=1)) if columns else iter(())
        values = [one.formula(next(parts)) if isinstance(one, Sums) else one.value_at(weights_RN) for one in measures]
        return np.stack(values).round(12)

    return at


def swap_difference(a: Sequence[Measure], b: Sequence[Measure]) -> Callable[[Floats], Floats]:
    """float64[R, N] -> float64[M, R]: a less b after swapping the two systems' outputs on the samples marked 1.

    Rounded to 12 decimals, so that swaps of equal effect tie whatever the order of their sums.
    """
    pairs = [
        # rankings: one of both systems' detections, each counted under its own weights: a swap is another weighting
        (one, other if isinstance(one, Sums) else one.concat(other))  # pyright: ignore[reportArgumentType]
        for one, other in zip(a, b, strict=True)
    ]

    def differences(swaps_RN: Floats) -> Floats:
        straight, crossed = np.hstack([1 - swaps_RN, swaps_RN]), np.hstack([swaps_RN, 1 - swaps_RN])
        values = []
        for one, other in pairs:
            if isinstance(one, Sums) and isinstance(other, Sums):
                # what a swapped sample adds to the sums of one system it takes from those of the other
                gains_RK = swaps_RN @ (other.columns_NK - one.columns_NK)
                of_a, of_b = one.columns_NK.sum(0) + gains_RK, other.columns_NK.sum(0) - gains_RK
                values.append(one.formula(of_a) - one.formula(of_b))
            else:
                values.append(other.value_at(straight) - other.value_at(crossed))
        return np.stack(values).round(12)

    return differences
