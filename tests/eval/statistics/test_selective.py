"""Answers held back: the curve by hand, its area against the definition, the threshold that pays best."""

import numpy as np
import pytest

from medglip.eval.statistics.selective import choose_threshold, risk_coverage


def test_the_curve_of_four_answers_by_hand() -> None:
    curve = risk_coverage([0.9, 0.8, 0.7, 0.6], [True, False, True, False])
    assert curve.points == ((0.25, 0.0), (0.5, 0.5), (0.75, pytest.approx(1 / 3)), (1.0, 0.5))
    assert curve.aurc == pytest.approx((0 + 0.5 + 1 / 3 + 0.5) / 4)


def test_the_area_is_the_mean_risk_over_all_coverages() -> None:
    rng = np.random.default_rng(0)
    chances, right = rng.random(50), rng.random(50) < 0.6
    wrong = 1 - right[np.argsort(-chances)]
    expected = np.mean([wrong[: k + 1].mean() for k in range(50)])
    assert risk_coverage(chances.tolist(), right.tolist()).aurc == pytest.approx(expected)


def test_equal_probabilities_are_given_or_held_back_together() -> None:
    curve = risk_coverage([0.5, 0.5, 0.5], [True, False, False])
    assert curve.points == ((1.0, pytest.approx(2 / 3)),)
    assert curve.aurc == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("chances", "right", "threshold"),
    [
        ([0.9, 0.8, 0.2, 0.1], [True, True, False, False], 0.8),
        ([0.9, 0.8, 0.2, 0.1], [True, True, True, True], 0.1),
        ([0.9, 0.8], [False, False], 1.0),
        ([0.3, 0.9], [True, False], 1.0),  # no threshold gains more than it loses
        ([], [], 1.0),
    ],
)
def test_the_threshold_is_where_right_answers_outweigh_wrong_ones(
    chances: list[float], right: list[bool], threshold: float
) -> None:
    assert choose_threshold(chances, right) == threshold
