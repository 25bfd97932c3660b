import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from medglip.eval.compare import compare_runs
from medglip.eval.settings import EvalSettings
from medglip.eval.statistics.measure import mean
from medglip.eval.statistics.significance import holm, mcnemar, wilson
from medglip.grounding.bad_input import BadInput

Records = list[Any]
FEW = EvalSettings(resamples=200)


@pytest.fixture
def run(record: Callable[..., Any]) -> Callable[[float], Records]:
    """`run(share)`: forty questions, that share of them right."""

    def make(share: float) -> Records:
        right = np.random.default_rng(0).random(40) < share
        kinds = ["closed", "open"] * 20
        return [record(n, "vqa", "yes", "yes" if right[n] else "no", answer_type=kind) for n, kind in enumerate(kinds)]

    return make


def test_every_run_is_compared_with_the_last(run: Callable[[float], Records]) -> None:
    runs = [run(1.0), run(0.6), run(0.3)]
    first, second = compare_runs(runs, ["a", "b", "base"], "vqa", FEW)
    assert [(one.a_name, one.b_name) for one in (first, second)] == [("a", "base"), ("b", "base")]
    alone = compare_runs([runs[0], runs[2]], ["first", "second"], "vqa", FEW)[0]
    for name, one in first.metrics.items():
        assert (one.a, one.b, one.difference) == (
            alone.metrics[name].a,
            alone.metrics[name].b,
            alone.metrics[name].difference,
        )
        assert one.p_value == alone.metrics[name].p_value
    json.dumps([asdict(first), asdict(second)], allow_nan=False)


def test_holm_is_over_all_runs_and_headline_metrics(run: Callable[[float], Records]) -> None:
    found = compare_runs([run(1.0), run(0.6), run(0.3)], ["a", "b", "base"], "vqa", FEW)
    cells = {(n, name): one for n, pair in enumerate(found) for name, one in pair.metrics.items()}
    tested = {key: one.p_value for key, one in cells.items() if one.p_holm is not None}
    assert found[0].family == found[1].family
    assert found[0].family.startswith(f"Holm over {len(tested)} tests: comparisons 2, metrics ")
    assert len(tested) == 2 * 5
    assert holm(tested) == {key: cells[key].p_holm for key in tested}
    assert all(
        one.p_holm >= one.p_value for one in cells.values() if one.p_holm is not None and one.p_value is not None
    )


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": None}) == {}


def test_mcnemar_is_the_binomial_test_of_few_discordant_samples() -> None:
    a, b = np.zeros(40), np.zeros(40)
    a[:9], b[7:12] = 1, 1  # 7 right in a alone, 3 in b alone
    assert mcnemar(mean(a), mean(b)) == pytest.approx(binomtest(7, 10).pvalue)
    assert mcnemar(mean(a), mean(a)) == 1.0
    assert mcnemar(mean(a + 0.5), mean(b)) is None
    many_a, many_b = np.repeat([1.0, 0, 1], [30, 10, 20]), np.repeat([0.0, 1, 1], [30, 10, 20])
    assert mcnemar(mean(many_a), mean(many_b)) == pytest.approx(chi2.sf((20 - 1) ** 2 / 40, 1))
    with pytest.raises(ValueError, match="same samples"):
        mcnemar(mean(a), mean(b[:5]))


def test_accuracies_have_a_mcnemar_p_value_and_overlaps_none(run: Callable[[float], Records]) -> None:
    (found,) = compare_runs([run(0.9), run(0.3)], ["a", "b"], "vqa", FEW)
    accuracy = found.metrics["overall_accuracy"].mcnemar
    assert accuracy is not None
    assert 0 < accuracy < 0.05


def test_wilson_is_not_empty_where_all_are_right() -> None:
    assert wilson(10, 10) == pytest.approx((1 / (1 + 1.959964**2 / 10), 1.0))


def test_numbers_of_statsmodels() -> None:
    """What statsmodels 0.14.6 gave, which did these three before."""
    assert wilson(0, 10) == pytest.approx((0.0, 0.27753279986288926), abs=1e-12)
    assert wilson(10, 10) == pytest.approx((0.7224672001371106, 1.0), abs=1e-12)
    assert wilson(3, 17, 0.9) == pytest.approx((0.07281446654706442, 0.36896697806902595), abs=1e-12)
    p_values = {"a": 0.04, "b": 0.001, "c": 0.03, "d": 0.2, "e": 0.03}
    assert holm(p_values) == pytest.approx({"a": 0.12, "b": 0.005, "c": 0.12, "d": 0.2, "e": 0.12}, abs=1e-12)
    for only_a, only_b, p_value in ((3, 11, 0.057373046875), (30, 12, 0.008711912962379598), (6, 6, 1.0)):
        a = mean(np.repeat([1.0, 0.0, 1.0], [only_a, only_b, 4]))
        b = mean(np.repeat([0.0, 1.0, 1.0], [only_a, only_b, 4]))
        assert mcnemar(a, b) == pytest.approx(p_value, abs=1e-12)


def test_runs_that_do_not_pair_are_named(run: Callable[[float], Records]) -> None:
    with pytest.raises(BadInput, match="1 ids are missing in the b run: s0"):
        compare_runs([run(1), run(0.5)[1:], run(0.5)], ["a", "b", "base"], "vqa", FEW)
    with pytest.raises(BadInput, match="1 runs"):
        compare_runs([run(1)], ["a"], "vqa", FEW)
