"""Tests and intervals that need no resampling: McNemar, Holm, Wilson. statsmodels does the statistics."""

import math
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from .measure import Measure, proportion

Key = TypeVar("Key", bound=Hashable)

EXACT_BELOW = 25
"""Discordant samples under which McNemar's test is the exact binomial one."""


def mcnemar(a: Measure, b: Measure) -> float | None:
    """Two-sided p-value of McNemar's test on samples that are right or wrong; None for measures that are not.

    Exact with fewer than 25 discordant samples, else chi-squared with continuity correction; 1 where the systems
    never differ. It takes samples for independent: with several samples a cluster the permutation test is the one to
    believe. Raises `ValueError` for other samples.
    """
    right_a, right_b = proportion(a), proportion(b)
    if right_a is None or right_b is None:
        return None
    if not np.array_equal(a.rows_N, b.rows_N):
        raise ValueError(f"paired measures need the same samples: {len(a.rows_N)} and {len(b.rows_N)} given")
    table = np.bincount(2 * right_a + right_b, minlength=4).reshape(2, 2)
    discordant = int(table[0, 1] + table[1, 0])
    if discordant == 0:
        return 1.0
    result: Any = statsmodels_mcnemar(table, exact=discordant < EXACT_BELOW)
    return float(result.pvalue)


def holm(p_values: Mapping[Key, float | None]) -> dict[Key, float]:
    """Holm's corrected p-values of one family of tests; tests without a p-value are no part of it."""
    tested = {name: p for name, p in p_values.items() if p is not None and math.isfinite(p)}
    if not tested:
        return {}
    corrected = np.asarray(multipletests(list(tested.values()), method="holm")[1])
    return dict(zip(tested, corrected.tolist(), strict=True))


def wilson(right: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion: not empty even where all of `n` are right, or none."""
    limits: Any = proportion_confint(right, n, alpha=1 - confidence, method="wilson")
    return float(limits[0]), float(limits[1])
