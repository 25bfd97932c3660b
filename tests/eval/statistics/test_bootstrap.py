from typing import Any

import numpy as np
import pytest

from medglip.eval.metrics.text.lexical import report_measures
from medglip.eval.statistics import bootstrap
from medglip.eval.statistics.bootstrap import Difference, Estimate, estimates, paired_differences
from medglip.eval.statistics.measure import Measure, Sums, mean, swap_difference
from medglip.eval.statistics.ranking import RankedHits

RNG = np.random.default_rng(0)
VALUES = RNG.integers(0, 2, 60).astype(float)
OWN = [str(row) for row in range(60)]
TENS = [str(row // 10) for row in range(60)]


def estimate(measure: Measure, clusters: list[str], **choices: Any) -> Estimate:
    return estimates({"": measure}, clusters, **choices)[""]


def paired_difference(a: Measure, b: Measure, clusters: list[str], resamples: int = 1000) -> Difference:
    return paired_differences({"": a}, {"": b}, clusters, resamples=resamples)[""]


def test_interval_of_a_mean_holds_the_value_and_repeats_by_seed() -> None:
    first, again = estimate(mean(VALUES), OWN, seed=3), estimate(mean(VALUES), OWN, seed=3)
    assert first == again
    assert first.low is not None
    assert first.high is not None
    assert first.low < first.value == VALUES.mean() < first.high
    assert first.n == 60
    assert first.method == "cluster bootstrap, BCa"
    assert estimate(mean(VALUES), OWN, seed=4).low != pytest.approx(first.low, abs=1e-12) or (
        estimate(mean(VALUES), OWN, seed=5) != first
    )


def test_interval_is_about_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(size=400)
    found = estimate(mean(values), [str(row) for row in range(400)], resamples=4000)
    assert found.low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.01)
    assert found.high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.01)


def test_clusters_of_like_samples_widen_the_interval() -> None:
    alike = np.repeat([0.0, 1.0, 1.0, 0.0, 1.0, 0.0], 10)
    one, ten = estimate(mean(alike), OWN), estimate(mean(alike), TENS)
    assert one.low is not None
    assert one.high is not None
    assert ten.low is not None
    assert ten.high is not None
    assert ten.high - ten.low > 2 * (one.high - one.low)


def test_one_cluster_has_no_interval() -> None:
    found = estimate(mean(VALUES), ["all"] * 60)
    assert (found.low, found.high, found.method) == (None, None, "none: one cluster")


def test_all_right_or_none_gets_a_wilson_interval_over_clusters() -> None:
    for value, low, high in ((1.0, 1 / (1 + 1.959964**2 / 6), 1.0), (0.0, 0.0, 1.959964**2 / (6 + 1.959964**2))):
        found = estimate(mean(np.full(60, value)), TENS)
        assert found.value == value
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)
        assert found.method == "Wilson over clusters (all samples agree)"


def test_clusters_that_are_alike_fall_back_and_say_so() -> None:
    found = estimate(mean(np.full(60, 0.5)), OWN)
    assert (found.low, found.high) == (0.5, 0.5)
    assert found.method == "cluster bootstrap, percentile (BCa undefined)"


def test_clusters_without_a_sample_of_the_metric_are_left_out() -> None:
    rows = np.arange(0, 60, 3)
    part = estimate(mean(VALUES[rows], rows), OWN)
    assert part == estimate(mean(VALUES[rows]), [OWN[row] for row in rows])
    assert part.n == 20


def test_resamples_without_truth_are_left_out_and_said() -> None:
    hits = RankedHits(
        value=1.0,
        rows_N=np.arange(3),
        scores_D=np.array([0.9]),
        samples_D=np.array([0]),
        hits_DT=np.array([[True]]),
        truths_N=np.array([1, 0, 0]),
    )
    found = estimate(hits, ["a", "b", "c"], resamples=200)
    assert (found.low, found.high) == (1.0, 1.0)
    assert "of 200 resamples define it" in found.method


def _texts(seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(list("abcdef"), 12)) for _ in range(40)]


@pytest.mark.parametrize("name", ["bleu_2", "rouge_l", "cider"])
def test_corpus_metrics_have_intervals(name: str) -> None:
    found = estimate(report_measures(_texts(0), _texts(1))[name], OWN[:40])
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_paired_difference_of_a_system_with_itself_is_nothing() -> None:
    found = paired_difference(mean(VALUES), mean(VALUES), TENS)
    assert (found.difference.value, found.difference.low, found.difference.high, found.p_value) == (0, 0, 0, 1)


def test_p_value_is_exact_for_few_clusters() -> None:
    better = mean(np.ones(6))
    found = paired_difference(better, mean(np.zeros(6)), list("abcdef"))
    assert found.difference.value == 1.0
    assert found.p_value == pytest.approx(2 / 2**6)  # only all kept and all swapped are as extreme
    swapped = paired_difference(mean(np.zeros(6)), better, list("abcdef"))
    assert swapped.difference.value == -1.0
    assert swapped.p_value == found.p_value


def test_pairing_narrows_the_interval() -> None:
    noise = np.random.default_rng(2).normal(size=60)
    a, b = mean(noise + 0.1), mean(noise + np.random.default_rng(3).normal(0, 0.05, 60))
    found, alone = paired_difference(a, b, OWN).difference, estimate(a, OWN)
    assert found.low is not None
    assert found.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < 0.2 * (alone.high - alone.low)


def test_corpus_metrics_can_be_paired() -> None:
    wanted = _texts(0)
    a: Measure = report_measures(wanted, wanted)["bleu_4"]
    b: Measure = report_measures(_texts(1), wanted)["bleu_4"]
    found = paired_difference(a, b, OWN[:40], resamples=300)
    assert found.difference.value == pytest.approx(a.value - b.value)
    assert found.p_value is not None
    assert found.p_value < 0.01


def test_other_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="same samples"):
        paired_difference(mean(VALUES), mean(VALUES[:5]), OWN)


def _metrics(seed: int, n: int = 60) -> dict[str, Measure]:
    rng = np.random.default_rng(seed)
    odd = np.arange(1, n, 2)
    return {"right": mean(rng.integers(0, 2, n)), "odd": mean(rng.random(len(odd)), odd), "all": mean(rng.random(n))}


def test_metrics_at_once_are_metrics_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = _metrics(0), _metrics(1)
    for limit in (1000, 3):  # few clusters, many clusters
        monkeypatch.setattr(bootstrap, "MANY_CLUSTERS", limit)
        for clusters in (OWN, TENS):
            at_once, pairs = estimates(a, clusters), paired_differences(a, b, clusters)
            assert list(at_once) == list(pairs) == list(a)
            for name in a:
                alone, pair = estimate(a[name], clusters), paired_difference(a[name], b[name], clusters)
                assert (at_once[name].low, at_once[name].high) == pytest.approx((alone.low, alone.high), abs=1e-12)
                assert at_once[name].method == alone.method
                assert pairs[name].p_value == pair.p_value
                assert pairs[name].difference.low == pytest.approx(pair.difference.low, abs=1e-12)


def test_batches_change_no_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = _metrics(0), _metrics(1)
    for limit in (1000, 3):
        monkeypatch.setattr(bootstrap, "MANY_CLUSTERS", limit)
        whole = estimates(a, OWN), paired_differences(a, b, OWN)
        monkeypatch.setattr(bootstrap, "_NUMBERS_AT_ONCE", 60 * 7)
        for one, other in zip(whole, (estimates(a, OWN), paired_differences(a, b, OWN)), strict=True):
            assert one.keys() == other.keys()
        again = estimates(a, OWN)
        assert [cell.low for cell in again.values()] == pytest.approx([cell.low for cell in whole[0].values()])
        assert [pair.p_value for pair in paired_differences(a, b, OWN).values()] == [
            pair.p_value for pair in whole[1].values()
        ]


def test_many_clusters_get_percentile_intervals_near_bca(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).random(900)
    own = [str(row) for row in range(900)]
    bca = estimate(mean(values), own, resamples=4000)
    monkeypatch.setattr(bootstrap, "MANY_CLUSTERS", 899)
    many = estimate(mean(values), own, resamples=4000)
    assert bca.method == "cluster bootstrap, BCa"
    assert many.method == "cluster bootstrap, percentile (more than 899 clusters)"
    assert (many.low, many.high) == pytest.approx((bca.low, bca.high), abs=2e-3)


def test_random_swaps_agree_with_the_permutation_test(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    a, b = mean(rng.random(60) + 0.08), mean(rng.random(60))
    permuted = paired_difference(a, b, OWN, resamples=5000).p_value
    monkeypatch.setattr(bootstrap, "MANY_CLUSTERS", 10)
    at_random = paired_difference(a, b, OWN, resamples=5000).p_value
    assert at_random == pytest.approx(permuted, abs=0.03)


def test_swaps_of_sums_are_the_weights_of_both_systems() -> None:
    rng = np.random.default_rng(7)

    def one() -> Sums:
        columns_NK = rng.random((9, 3))
        return Sums(
            value=0.0, rows_N=np.arange(9), columns_NK=columns_NK, formula=lambda s: s[:, 0] * s[:, 1] / s[:, 2]
        )

    a, b, swaps = one(), one(), rng.integers(0, 2, (5, 9)).astype(float)
    both = a.concat(b)
    wanted = both.value_at(np.concatenate([1 - swaps, swaps], 1)) - both.value_at(np.concatenate([swaps, 1 - swaps], 1))
    assert swap_difference([a], [b])(swaps)[0] == pytest.approx(wanted)
