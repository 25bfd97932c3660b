import numpy as np
import pytest

from medglip.eval.statistics.measure import evaluate_together, mean, proportion, swap_difference
from medglip.eval.statistics.ranking import RankedHits

RNG = np.random.default_rng(0)


def _ranked() -> RankedHits:
    return RankedHits(
        value=0.0,
        rows_N=np.arange(6),
        scores_D=RNG.random(12),
        samples_D=np.repeat(np.arange(6), 2),
        hits_DT=RNG.random((12, 2)) < 0.5,
        truths_N=np.full(6, 2),
    )


def test_together_is_each_by_itself() -> None:
    parts = [mean(RNG.random(6)), _ranked(), mean(RNG.integers(0, 2, 6))]
    weights = RNG.integers(0, 3, (5, 6)).astype(float) + 0.5
    assert evaluate_together(parts)(weights) == pytest.approx(np.stack([part.value_at(weights) for part in parts]))
    assert evaluate_together(parts[1:2])(weights).shape == (1, 5)


def test_no_swap_is_the_difference_and_all_swaps_its_negative() -> None:
    pairs = [(mean(RNG.random(6)), mean(RNG.random(6))), (_ranked(), _ranked())]
    for a, b in pairs:
        ones = np.ones((1, 6))
        wanted = a.value_at(ones) - b.value_at(ones)
        found = swap_difference([a], [b])(np.stack([np.zeros(6), np.ones(6)]))[0]
        assert found == pytest.approx(np.concatenate([wanted, -wanted]))


def test_grouping_samples_changes_no_value_and_picking_all_neither() -> None:
    values = RNG.random(6)
    part = mean(values)
    codes = np.array([0, 0, 1, 2, 2, 2])
    weights = RNG.random((4, 3))
    assert part.aggregate(codes, 3).value_at(weights) == pytest.approx(part.value_at(weights[:, codes]))
    assert part.subset(np.ones(6, bool)).value == pytest.approx(values.mean())
    assert part.subset(values > 0.5).rows_N.tolist() == np.flatnonzero(values > 0.5).tolist()


def test_a_proportion_is_a_mean_of_right_and_wrong() -> None:
    right = proportion(mean([1, 0, 1]))
    assert right is not None
    assert right.tolist() == [True, False, True]
    assert proportion(mean([1, 0.5])) is None
    assert proportion(_ranked()) is None
