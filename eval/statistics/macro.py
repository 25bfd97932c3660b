"""The mean of a metric over data sets, with an interval over the sets and the patients of each."""

from collections.abc import Sequence

import numpy as np

from .bootstrap import Estimate
from .crossed import times_drawn
from .measure import Measure


def macro(
    parts: Sequence[tuple[Measure, Sequence[str]]],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The mean over `parts`, a measure each with the cluster of every input; all sets count alike. `n`: sets.

    A resample draws sets, and of every set clusters; the percentile interval is of what the drawn ones give. A set of
    one cluster is drawn whole, so its own spread is missing. With one set there is no interval.

        sets drawn    a twice, b not at all, c once
        of each       its patients drawn anew
        value         (2 a + c) / 3
    """
    values_S, num = np.array([measure.value for measure, _ in parts]), len(parts)
    if num < 2:
        return Estimate(float(values_S.mean()), None, None, num, "none: one set")
    rng = np.random.default_rng(seed)
    drawn_SR = np.empty((num, resamples))
    for row_R, (measure, clusters) in zip(drawn_SR, parts, strict=True):
        code_N = np.unique(np.asarray(clusters)[measure.rows_N], return_inverse=True)[1]
        with np.errstate(all="ignore"):  # a resample without a true region has no value, and is left out below
            row_R[:] = measure.value_at(times_drawn(code_N, resamples, rng))
    times_SR = times_drawn(np.arange(num), resamples, rng).T * np.isfinite(drawn_SR)
    means_R = (times_SR * np.nan_to_num(drawn_SR)).sum(0)[(counted_R := times_SR.sum(0)) > 0] / counted_R[counted_R > 0]
    low, high = np.quantile(means_R, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return Estimate(float(values_S.mean()), low, high, num, f"bootstrap over {num} sets and their clusters, percentile")
