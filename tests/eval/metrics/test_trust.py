"""ECE and AURC of answers agree with their definitions, and with themselves under weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medglip.eval.metrics.trust import measures, with_draws
from medglip.eval.score import measure, score
from medglip.eval.settings import EvalSettings
from medglip.eval.statistics.measure import mean
from medglip.eval.statistics.selective import risk_coverage
from medglip.grounding.bad_input import BadInput

FEW = EvalSettings(resamples=200)
CHANCES = (0.9, 0.9, 0.8, 0.6, 0.6, 0.3)
RIGHT = (1, 0, 1, 1, 0, 0)


@pytest.fixture
def records(record: Callable[..., Any]) -> list[Any]:
    return [
        record(n, "vqa", "yes", "yes" if right else "no", answer_type="closed") | {"probability": chance}
        for n, (chance, right) in enumerate(zip(CHANCES, RIGHT, strict=True))
    ]


def test_aurc_and_ece_are_those_of_their_definitions(records: list[Any]) -> None:
    found = score(records, "vqa", FEW).metrics
    assert found["aurc"].value == pytest.approx(risk_coverage(CHANCES, [bool(one) for one in RIGHT]).aurc)
    # bins: two of .9 (half right), one of .8, two of .6 (half right), one of .3
    assert found["ece"].value == pytest.approx((2 * 0.4 + 0.2 + 2 * 0.1 + 0.3) / 6)
    assert found["aurc"].n == found["ece"].n == 6
    assert found["aurc"].low is not None


def test_only_answers_with_a_probability_count(records: list[Any]) -> None:
    records[5]["probability"] = None
    assert score(records, "vqa", FEW).metrics["aurc"].n == 5
    assert "aurc" not in score([row | {"probability": None} for row in records], "vqa", FEW).metrics


def test_a_weight_of_two_is_the_answer_twice(records: list[Any]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts = rng.integers(0, 3, len(records))
        if not counts.any():
            continue
        twice = [row for row, count in zip(records, counts, strict=True) for _ in range(count)]
        right = [row["prediction"] == "yes" for row in twice]
        direct = risk_coverage([row["probability"] for row in twice], right).aurc
        area = measures(records, measure(records, "vqa", FEW).measures["overall_accuracy"])["aurc"]
        assert area.value_at(counts[None].astype(float))[0] == pytest.approx(direct)


def test_subset_and_clusters(records: list[Any]) -> None:
    area = measures(records, mean(RIGHT))["aurc"]
    keep = np.array([True, False, True, True, True, False])
    assert area.subset(keep).value == pytest.approx(area.value_at(keep[None].astype(float))[0])
    codes = np.array([0, 0, 1, 1, 2, 2])
    weights = np.array([[2.0, 0.0, 1.0]])
    assert area.aggregate(codes, 3).value_at(weights) == pytest.approx(area.value_at(weights[:, codes]))


def test_consistency_is_the_part_of_the_draws_that_say_what_most_say(records: list[Any]) -> None:
    says = (["yes", "no", "no"], ["Yes.", "yes", "Yes, there is."], ["yes", "no", "maybe"])
    draws = [[records[n] | {"prediction": says[n][draw]} for n in range(3)] for draw in range(3)]
    found = score(with_draws(records, draws), "vqa", FEW).metrics["consistency"]
    assert found.value == pytest.approx((2 / 3 + 1 + 1 / 3) / 3)
    assert found.n == 3
    assert "consistency" not in score(records, "vqa", FEW).metrics
    with pytest.raises(BadInput, match="1 questions, first"):
        with_draws(records, [draws[0], draws[1][:2]])
    with pytest.raises(BadInput, match="no question"):
        with_draws(records, [[records[0] | {"id": "other"}]])
