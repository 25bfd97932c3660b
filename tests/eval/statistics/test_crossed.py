"""A difference over seeds and clusters both."""

import numpy as np
import pytest

from medglip.eval.statistics.crossed import crossed_difference
from medglip.eval.statistics.measure import mean


def crossed(right_a: np.ndarray, right_b: np.ndarray):  # noqa: ANN201
    """Arrays of seeds x clusters."""
    num_seeds, num_clusters = right_a.shape
    clusters = [f"image {c}" for _ in range(num_seeds) for c in range(num_clusters)]
    seeds = [f"seed {s}" for s in range(num_seeds) for _ in range(num_clusters)]
    return crossed_difference(mean(right_a.ravel()), mean(right_b.ravel()), clusters, seeds, resamples=2000)


def test_a_difference_that_all_samples_share_has_no_width() -> None:
    found = crossed(np.ones((3, 40)), np.zeros((3, 40)))
    assert (found.difference.value, found.difference.low, found.difference.high) == (1, 1, 1)
    assert found.p_value == pytest.approx(2 / 2001)


def test_what_one_seed_alone_brings_is_not_taken_for_sure() -> None:
    rng = np.random.default_rng(0)
    right = (rng.random((3, 200)) < np.array([[0.9], [0.3], [0.3]])).astype(float)
    found = crossed(right, np.full((3, 200), 0.3))
    assert found.difference.value > 0.15
    assert found.difference.low is not None
    assert found.difference.low < 0.05  # without the good seed nothing is left
    fixed = crossed_difference(
        mean(right.ravel()), mean(np.full(600, 0.3)), [f"{c}" for _ in range(3) for c in range(200)], ["one"] * 600
    )
    assert fixed.difference.low is not None
    assert fixed.difference.low > 0.1  # seeds taken as given


def test_equal_systems_differ_by_nothing() -> None:
    right = (np.random.default_rng(1).random((2, 30)) < 0.5).astype(float)
    found = crossed(right, right)
    assert (found.difference.low, found.difference.high, found.p_value) == (0, 0, 1)
    with pytest.raises(ValueError, match="same samples"):
        crossed_difference(mean(right[0]), mean(right.ravel()), ["a"] * 60, ["0"] * 60)
