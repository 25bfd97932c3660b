"""Intervals and paired comparisons by resampling whole clusters (patients, else images), never single samples.

scipy does the statistics; a `Measure` gives the metric under the weights of a resample. Measures of the same clusters
share one draw of the resamples, and no more than a batch of it is held at a time.
"""

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .measure import Floats, Measure, evaluate_together, proportion, swap_difference
from .significance import wilson

Key = TypeVar("Key", bound=Hashable)
Interval = tuple[float | None, float | None, str]

MANY_CLUSTERS = 1000
"""Clusters above which intervals are percentile ones: the jackknife of BCa costs their square, and adds little."""

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

    def interval(self, form: str = ".3f") -> str:
        """`0.750, 0.861`, or that there is none."""
        has_ends = self.low is not None and self.high is not None
        return f"{self.low:{form}}, {self.high:{form}}" if has_ends else "no interval"


@dataclass(frozen=True)
class Difference:
    """System a less system b on the same samples: the difference with its interval, and two-sided p-values.

    `p_value`: of the paired permutation test over clusters; `p_holm`: the same after Holm's correction over a family
    of comparisons; `mcnemar`: over samples, for metrics that are right or wrong. None where not asked or not defined.
    `p_floor`: the smallest p-value that the permutations drawn can give, 0 where all were tried.
    """

    a: float
    b: float
    difference: Estimate
    p_value: float | None
    p_holm: float | None = None
    mcnemar: float | None = None
    p_floor: float = 0.0

    @property
    def is_on_floor(self) -> bool:
        """Whether no permutation was as extreme: the p-value is then a bound, and so is Holm's."""
        return self.p_value is not None and self.p_value <= self.p_floor * (1 + 1e-9)


def estimates(
    measures: Mapping[Key, Measure],
    clusters: Sequence[str],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[Key, Estimate]:
    """Metrics with their cluster bootstrap intervals.

    `clusters`: the cluster of every input of the metrics. Up to 1000 clusters with a sample of the metric these alone
    are drawn; means and BLEU get BCa intervals, average precision percentile ones. Above, one draw of all clusters
    serves every metric, for percentile intervals. Where BCa is not defined the percentile interval is given. Where
    all samples are right, or none, it is Wilson's with clusters for samples. One cluster alone has no interval.
    `method` says which.
    """
    draw = _Draw(resamples, confidence, seed)
    results: dict[Key, Estimate] = {}
    for group in _groups({name: (measure,) for name, measure in measures.items()}, clusters):
        intervals = draw.intervals(evaluate_together(group.system(0)), group)
        for name, interval in zip(group.names, intervals, strict=True):
            measure = measures[name]
            right_N = proportion(measure)
            if right_N is not None and group.num > 1 and right_N.any() == right_N.all():
                # every resample would repeat all or none; clusters count once, as samples of one do
                limits = wilson(group.num if right_N.all() else 0, group.num, confidence)
                interval = (*limits, "Wilson over clusters (all samples agree)")
            low, high, method = interval
            results[name] = Estimate(measure.value, low, high, len(measure.rows_N), method)
    return {name: results[name] for name in measures}


def paired_differences(
    a: Mapping[Key, Measure],
    b: Mapping[Key, Measure],
    clusters: Sequence[str],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[Key, Difference]:
    """Two systems on the same samples: each resample draws the same clusters for both. `b` holds the keys of `a`.

    The p-value is of a permutation test: under the null the two systems' outputs on a cluster can be swapped. Up to
    1000 clusters it is scipy's paired permutation test, exact where 2**clusters does not exceed `resamples`; above,
    scipy's Monte Carlo test with random swaps. Raises `ValueError` for other samples.
    """
    pairs = {name: (measure, b[name]) for name, measure in a.items()}
    for one, other in pairs.values():
        if not np.array_equal(one.rows_N, other.rows_N):
            raise ValueError(f"paired measures need the same samples: {len(one.rows_N)} and {len(other.rows_N)} given")
    draw = _Draw(resamples, confidence, seed)
    results: dict[Key, Difference] = {}
    for group in _groups(pairs, clusters):
        of_a, of_b = evaluate_together(group.system(0)), evaluate_together(group.system(1))
        intervals = draw.intervals(lambda weights_RC, a=of_a, b=of_b: a(weights_RC) - b(weights_RC), group)
        for name, interval, p_value in zip(group.names, intervals, draw.p_values(group), strict=True):
            one, other = pairs[name]
            difference = Estimate(one.value - other.value, *interval[:2], len(one.rows_N), interval[2])
            results[name] = Difference(one.value, other.value, difference, p_value, p_floor=draw.p_floor(group.num))
    return {name: results[name] for name in a}


@dataclass(frozen=True, kw_only=True)
class _Group(Generic[Key]):
    """Measures of the same clusters, grouped to them: for each name one measure, or the two of a pair."""

    names: list[Key]
    systems: list[tuple[Measure, ...]]
    num: int  # clusters
    method: str
    note: str

    def system(self, index: int) -> list[Measure]:
        return [measures[index] for measures in self.systems]

    @property
    def batch(self) -> int:
        """Resamples at a time; sums need no more than the weights themselves."""
        widest = max(measure.width for measures in self.systems for measure in measures)
        return max(1, _NUMBERS_AT_ONCE // max(widest, self.num))


def _groups(systems: Mapping[Key, tuple[Measure, ...]], clusters: Sequence[str]) -> list[_Group[Key]]:
    """Few clusters: measures with a sample in just the same ones. Many: all measures, with all clusters.

    Measures of one group share one draw; a metric of few samples must not draw clusters in which it has none:

        clusters   A A B C     measure   its rows   present_C   group
                               accuracy  0 1 2 3    A B C       1 (num 3)
                               dice      0 1 3      A   C       2 (num 2), its clusters numbered anew: A 0, C 1
    """
    codes_by_name = {name: code for code, name in enumerate(sorted(set(clusters)))}
    codes = np.fromiter((codes_by_name[name] for name in clusters), np.int64, len(clusters))
    groups: dict[tuple[bytes, str], _Group[Key]] = {}
    for name, measures in systems.items():
        own_N, method = codes[measures[0].rows_N], measures[0].method
        present_C = np.bincount(own_N, minlength=len(codes_by_name)) > 0
        num, note = int(present_C.sum()), ""
        if num > MANY_CLUSTERS:
            note = f" (more than {MANY_CLUSTERS} clusters)" if method == "BCa" else ""
            present_C, num, method = np.ones(len(codes_by_name), bool), len(codes_by_name), "percentile"
        own_N = (np.cumsum(present_C) - 1)[own_N]
        group = _Group[Key](names=[], systems=[], num=num, method=method, note=note)
        group = groups.setdefault((np.packbits(present_C).tobytes(), method + note), group)
        group.names.append(name)
        group.systems.append(tuple(measure.aggregate(own_N, num) for measure in measures))
    return list(groups.values())


@dataclass(frozen=True)
class _Draw:
    """How often, how sure, and from which seed."""

    resamples: int
    confidence: float
    seed: int

    def intervals(self, statistic: Callable[[Floats], Floats], group: _Group[Any]) -> list[Interval]:
        """Low, high and method of each measure's interval. `statistic`: weights float64[R, C] -> float64[M, R]."""
        if group.num < 2:
            return [(None, None, "none: one cluster")] * len(group.names)

        def of_drawn(drawn: NDArray[Any], axis: int) -> Floats:
            drawn_RC = drawn.reshape(-1, drawn.shape[-1])
            # how often each cluster was drawn: one count for all resamples, each with its own range of numbers
            flat = drawn_RC + group.num * np.arange(len(drawn_RC))[:, None]
            counts = np.bincount(flat.ravel(), minlength=group.num * len(drawn_RC))
            return statistic(counts.reshape(-1, group.num).astype(np.float64)).reshape(-1, *drawn.shape[:-1])

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # scipy's warning of a degenerate BCa is said in `method` instead
            result = stats.bootstrap(
                (np.arange(group.num),),
                of_drawn,
                n_resamples=self.resamples,
                batch=group.batch,
                vectorized=True,
                confidence_level=self.confidence,
                method=group.method,
                rng=np.random.default_rng(self.seed),
            )
        intervals: list[Interval] = []
        for low, high, values_R in zip(*result.confidence_interval, result.bootstrap_distribution, strict=True):
            defined = values_R[np.isfinite(values_R)]
            if np.isfinite([low, high]).all():
                intervals.append((float(low), float(high), f"cluster bootstrap, {group.method}{group.note}"))
            elif not len(defined):
                intervals.append((None, None, "none: no resample defines the metric"))
            else:  # BCa fails where all jackknife values agree, and where a resample leaves the metric undefined
                ends = np.quantile(defined, [(1 - self.confidence) / 2, (1 + self.confidence) / 2]).tolist()
                some = f"{len(defined)} of {len(values_R)} resamples define it"
                note = some if len(defined) < len(values_R) else "BCa undefined"
                intervals.append((*ends, f"cluster bootstrap, percentile ({note})"))
        return intervals

    def p_floor(self, num_clusters: int) -> float:
        """The smallest two-sided p-value of `p_values`; 0 where all swaps are tried, so that it is exact."""
        return 0.0 if 2**num_clusters <= self.resamples else 2 / (self.resamples + 1)

    @np.errstate(all="ignore")
    def p_values(self, group: _Group[Any]) -> list[float | None]:
        """Two-sided, of each pair of measures; None where a swap leaves the difference undefined."""
        if group.num < 2:
            return [None] * len(group.names)
        if group.num > MANY_CLUSTERS:
            return [self._swap_at_random(a, b, group) for a, b in group.systems]
        # scipy permutes numbers, we read them: below `num` a cluster kept its system, from `num` on it was swapped
        differences = swap_difference(group.system(0), group.system(1))

        def statistic(mine: NDArray[Any], _theirs: NDArray[Any], axis: int) -> Floats:
            swaps_RC = (mine >= group.num).reshape(-1, group.num).astype(np.float64)
            return differences(swaps_RC).T.reshape(*mine.shape[:-1], -1)

        result = stats.permutation_test(
            (np.arange(group.num), np.arange(group.num) + group.num),
            statistic,
            permutation_type="samples",
            vectorized=True,
            n_resamples=self.resamples,
            batch=group.batch,
            rng=np.random.default_rng(self.seed),
        )
        p_values, defined = np.atleast_1d(result.pvalue, np.isfinite(result.null_distribution).all(0))
        return [float(p) if is_defined else None for p, is_defined in zip(p_values, defined, strict=True)]

    def _swap_at_random(self, a: Measure, b: Measure, group: _Group[Any]) -> float | None:
        """For many clusters, where scipy's permutation test is slow: a coin for each says whether it is swapped."""
        rng, difference = np.random.default_rng(self.seed), swap_difference([a], [b])

        def statistic(swaps: NDArray[Any], axis: int) -> Any:
            return difference(swaps.reshape(-1, group.num).astype(np.float64)).reshape(swaps.shape[:-1])[()]

        result = stats.monte_carlo_test(
            np.zeros(group.num),
            lambda size: rng.integers(0, 2, size, dtype=bool),
            statistic,
            vectorized=True,
            n_resamples=self.resamples,
            batch=group.batch,
        )
        return float(result.pvalue) if np.isfinite(result.null_distribution).all() else None
