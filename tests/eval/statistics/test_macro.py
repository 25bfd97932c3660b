"""The mean over sets: all sets count alike, and its interval knows that other sets might have been taken."""

import numpy as np
import pytest

from medglip.eval.statistics.macro import macro
from medglip.eval.statistics.measure import Measure, mean


def part(values: list[float], patients: list[str] | None = None) -> tuple[Measure, list[str]]:
    return mean(np.array(values)), patients or [str(k) for k in range(len(values))]


def test_a_large_set_counts_no_more_than_a_small_one() -> None:
    found = macro([part([1.0] * 30), part([0.0, 0.0])])
    assert (found.value, found.n) == (0.5, 2)
    assert (found.low, found.high) == (0.0, 1.0)  # either set might have been drawn twice


def test_patients_of_a_set_are_drawn_whole() -> None:
    alike = [part([1.0, 0.0] * 8, ["a", "b"] * 8) for _ in range(12)]
    apart = [part([1.0, 0.0] * 8) for _ in range(12)]
    wide, narrow = macro(alike), macro(apart)
    assert wide.value == narrow.value == 0.5
    assert wide.low is not None
    assert wide.high is not None
    assert narrow.low is not None
    assert narrow.high is not None
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_one_set_has_no_interval_and_a_seed_gives_the_same_again() -> None:
    assert macro([part([0.0, 1.0])]).low is None
    parts = [part([0.0, 1.0, 1.0]), part([0.2, 0.9]), part([0.5, 0.5, 0.1])]
    assert macro(parts, seed=3) == macro(parts, seed=3) != macro(parts, seed=4)
    assert macro(parts).value == pytest.approx((2 / 3 + 0.55 + 1.1 / 3) / 3)
