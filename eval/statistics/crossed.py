"""The difference of two systems that were trained with several seeds: intervals over seeds and clusters both."""

from collections.abc import Sequence

import numpy as np

from .bootstrap import Difference, Estimate
from .measure import Floats, Ints, Measure

_NUMBERS_AT_ONCE = 4_000_000
"""Numbers of resamples held at a time: 32 MB."""


def times_drawn(code_N: Ints, num: int, rng: np.random.Generator) -> Floats:
    """float64[num, N]: how often the cluster of each sample is drawn in each of `num` resamples of all clusters."""
    size = int(code_N.max()) + 1
    return rng.multinomial(size, np.full(size, 1 / size), num)[:, code_N].astype(np.float64)


def crossed_difference(
    a: Measure,
    b: Measure,
    clusters: Sequence[str],
    seeds: Sequence[str],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """`a` less `b`; seeds and clusters are drawn anew, each by itself, and a sample counts as often as both were drawn.

    `clusters`, `seeds`: those of every input of the metric. The interval is a percentile one; the p-value, two-sided,
    is twice the smaller part of the resamples on one side of 0, of which each has one more than was drawn. With one
    seed the interval is over clusters alone. Raises `ValueError` for other samples.

        drawn    seed 0: 2 times, seed 1: 0 times     image x: once, image y: 3 times
        weights  (0, x) 2   (0, y) 6   (1, x) 0   (1, y) 0
    """
    if not np.array_equal(a.rows_N, b.rows_N):
        raise ValueError(f"paired measures need the same samples: {len(a.rows_N)} and {len(b.rows_N)} given")
    rng, rows_N = np.random.default_rng(seed), a.rows_N
    codes = [np.unique(np.asarray(names)[rows_N], return_inverse=True)[1] for names in (seeds, clusters)]
    at_once, parts = max(1, _NUMBERS_AT_ONCE // max(1, len(rows_N))), list[Floats]()
    for start in range(0, resamples, at_once):
        num = min(at_once, resamples - start)
        weights_RN = np.ones((num, len(rows_N)))
        for code_N in codes:
            weights_RN *= times_drawn(code_N, num, rng)
        with np.errstate(all="ignore"):
            parts.append(a.value_at(weights_RN) - b.value_at(weights_RN))
    values_R = np.concatenate(parts)
    values_R = values_R[np.isfinite(values_R)]
    value = a.value - b.value
    if not len(values_R) or int(codes[1].max()) == 0:
        return Difference(a.value, b.value, Estimate(value, None, None, len(rows_N), "none: one cluster"), None)
    low, high = np.quantile(values_R, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    tails = [int((values_R <= 0).sum()) + 1, int((values_R >= 0).sum()) + 1]
    p_value = min(1.0, 2 * min(tails) / (len(values_R) + 1))
    method = f"bootstrap over {int(codes[0].max()) + 1} seeds and {int(codes[1].max()) + 1} clusters, percentile"
    return Difference(a.value, b.value, Estimate(value, low, high, len(rows_N), method), p_value)
