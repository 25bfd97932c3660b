"""Intervals and paired comparisons by resampling whole clusters (patients, else images), never single samples.

scipy does the statistics; a `Measure` gives the metric under the weights of a resample.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .measure import Floats, Ints, Measure

_NUMBERS_AT_ONCE = 4_000_000
"""Numbers of resamples held at a time: 32 MB."""


@dataclass(frozen=True)
class Estimate:
    """A value and its interval, None where there is none. `n`: samples; `method`: how the interval was made."""

    value: float
    low: float | None
    high: float | None
    n: int
    method: str


@dataclass(frozen=True)
class Difference:
    """System a less system b on the same samples: the difference with its interval, and a two-sided p-value.

    `p_value` is of one comparison; no correction for several is made here.
    """

    a: float
    b: float
    difference: Estimate
    p_value: float | None


def estimate(
    measure: Measure, clusters: Sequence[str], *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """A metric with its cluster bootstrap interval.

    `clusters`: the cluster of every input of the metric; those without a sample of it are left out. Means and BLEU
    get BCa intervals, average precision percentile ones; where BCa is not defined (for one, all samples right) the
    percentile interval is given and `method` says so. One cluster alone has no interval.
    """
    codes_N, num = _codes(measure, clusters)
    grouped = measure.grouped(codes_N, num)

    def statistic(picked_RC: Ints) -> Floats:
        return grouped.at(_weights(picked_RC, num))

    low, high, method = _interval(statistic, num, grouped, resamples, confidence, seed)
    return Estimate(measure.value, low, high, len(codes_N), method)


def paired_difference(
    a: Measure,
    b: Measure,
    clusters: Sequence[str],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Two systems on the same samples: each resample draws the same clusters for both.

    The p-value is that of scipy's paired permutation test: under the null the two systems' outputs on a cluster can
    be swapped. It is exact where 2**clusters does not exceed `resamples`. Raises `ValueError` for other samples.
    """
    if not np.array_equal(a.rows_N, b.rows_N):
        raise ValueError(f"paired measures need the same samples: {len(a.rows_N)} and {len(b.rows_N)} given")
    codes_N, num = _codes(a, clusters)
    both = a.grouped(codes_N, num).joined(b.grouped(codes_N, num))

    def difference(weights_a_RC: Floats, weights_b_RC: Floats) -> Floats:
        straight_RC = np.concatenate([weights_a_RC, weights_b_RC], 1)
        crossed_RC = np.concatenate([weights_b_RC, weights_a_RC], 1)
        return both.at(straight_RC) - both.at(crossed_RC)

    def resampled(picked_RC: Ints) -> Floats:
        weights_RC = _weights(picked_RC, num)
        return difference(weights_RC, np.zeros_like(weights_RC))

    low, high, method = _interval(resampled, num, both, resamples, confidence, seed)
    p_value = _p_value(difference, num, both, resamples, seed) if num > 1 else None
    return Difference(a.value, b.value, Estimate(a.value - b.value, low, high, len(codes_N), method), p_value)


def _codes(measure: Measure, clusters: Sequence[str]) -> tuple[Ints, int]:
    """int64[N]: the number of each sample's cluster, and how many clusters there are."""
    names, codes_N = np.unique(np.asarray(clusters, dtype=object)[measure.rows_N].astype(str), return_inverse=True)
    return codes_N, len(names)


def _weights(picked_RC: Ints, num: int) -> Floats:
    """float64[R, num]: how often each cluster was drawn."""
    flat = picked_RC + num * np.arange(len(picked_RC))[:, None]
    return np.bincount(flat.ravel(), minlength=num * len(picked_RC)).reshape(-1, num).astype(np.float64)


def _interval(
    statistic: Callable[[Ints], Floats], num: int, measure: Measure, resamples: int, confidence: float, seed: int
) -> tuple[float | None, float | None, str]:
    """Low, high and the method that gave them."""
    if num < 2:
        return None, None, "none: one cluster"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy's warning of a degenerate BCa is said in `method` instead
        result = stats.bootstrap(
            (np.arange(num),),
            lambda picked, axis: _rowwise(statistic, picked),
            n_resamples=resamples,
            batch=_batch(measure, num),
            vectorized=True,
            confidence_level=confidence,
            method=measure.method,
            rng=np.random.default_rng(seed),
        )
    low, high = (float(limit) for limit in result.confidence_interval)
    if np.isfinite([low, high]).all():
        return low, high, f"cluster bootstrap, {measure.method}"
    defined = result.bootstrap_distribution[np.isfinite(result.bootstrap_distribution)]
    if not len(defined):
        return None, None, "none: no resample defines the metric"
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return (
        float(low),
        float(high),
        "cluster bootstrap, percentile"
        + (" (BCa undefined)" if measure.method == "BCa" else f" ({len(defined)} of {resamples} resamples define it)"),
    )


def _p_value(
    difference: Callable[[Floats, Floats], Floats], num: int, measure: Measure, resamples: int, seed: int
) -> float:
    """Two-sided, by swapping the systems within clusters: entries of `num` and more come from the other system."""

    def statistic(mine: NDArray[Any], _theirs: NDArray[Any], axis: int) -> Any:
        def swapped(picked_RC: Ints) -> Floats:
            other_RC = (picked_RC >= num).astype(np.float64)
            return difference(1 - other_RC, other_RC)

        return _rowwise(swapped, mine)

    result = stats.permutation_test(
        (np.arange(num), np.arange(num) + num),
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=_batch(measure, num),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def _batch(measure: Measure, num: int) -> int:
    return max(1, _NUMBERS_AT_ONCE // (measure.width + num))


def _rowwise(statistic: Callable[[Ints], Floats], picked: NDArray[Any]) -> Any:
    """The statistic for any leading axes and for none, as scipy asks."""
    values_R = statistic(np.asarray(picked).reshape(-1, picked.shape[-1]).astype(np.int64))
    return values_R.reshape(picked.shape[:-1])[()]
