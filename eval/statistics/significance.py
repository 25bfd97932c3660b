"""Tests and intervals that need no resampling: McNemar, Holm, Wilson."""

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
from scipy import stats

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
    # Where both are right, or both wrong, nothing is learned: under the null the others fall to a or b like coins.
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    discordant = only_a + only_b
    if discordant == 0:
        return 1.0
    if discordant < EXACT_BELOW:
        return min(float(stats.binom.cdf(min(only_a, only_b), discordant, 0.5) * 2), 1.0)
    return float(stats.chi2.sf((abs(only_a - only_b) - 1) ** 2 / discordant, 1))


def holm(p_values: Mapping[Key, float | None]) -> dict[Key, float]:
    """Holm's corrected p-values of one family of tests; tests without a p-value are no part of it.

    The k-th smallest of m is multiplied by m - k + 1; none may end below a smaller one, or above 1:

        p        .01       .02       .04
        factor   3         2         1
        product  .03       .04       .04      -> .03, .04, .04
    """
    tested = {name: p for name, p in p_values.items() if p is not None and math.isfinite(p)}
    ordered = sorted(tested, key=lambda name: tested[name])
    products = np.array([tested[name] for name in ordered]) * np.arange(len(ordered), 0, -1)
    corrected = dict(zip(ordered, np.minimum(np.maximum.accumulate(products), 1.0).tolist(), strict=True))
    return {name: corrected[name] for name in tested}


def p_words(p_value: float, is_bound: bool = False, form: str = ".3g") -> str:
    """`= 0.0312`; of a bound `< 0.002`, rounded up: no permutation was as extreme, more of them could tell smaller."""
    if not is_bound:
        return f"= {p_value:{form}}"
    unit = 10.0 ** (math.floor(math.log10(p_value)) - 1)
    return f"< {math.ceil(p_value / unit - 1e-9) * unit:.2g}"


def wilson(right: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion: not empty even where all of `n` are right, or none."""
    share, z = right / n, stats.norm.isf((1 - confidence) / 2)
    scale = 1 + z**2 / n
    # the middle is drawn towards a half, the more the fewer samples there are
    middle = (share + z**2 / (2 * n)) / scale
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / scale
    return float(np.clip(middle - half, 0, 1)), float(np.clip(middle + half, 0, 1))
