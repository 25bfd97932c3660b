import numpy as np
import pytest

from medglip.eval.statistics.bootstrap import estimates
from medglip.eval.statistics.measure import Measured, mean
from medglip.eval.statistics.strata import estimate_all, labels_of

RNG = np.random.default_rng(0)
RIGHT = RNG.integers(0, 2, 40).astype(float)
CLUSTERS = [str(row // 2) for row in range(40)]
SIDES = ["left" if row % 2 else "right" for row in range(40)]
PARTS = ["", *["head"] * 19, *["chest"] * 20]
RUN = Measured(
    protocol="",
    version="",
    measures={"all": mean(RIGHT), "odd": mean(RIGHT[1::2], np.arange(1, 40, 2))},
    clusters=CLUSTERS,
    counts={},
    strata={"side": SIDES, "part": PARTS, "one": ["same"] * 40},
)


def test_a_stratum_is_the_metric_of_its_samples_alone() -> None:
    found = estimate_all(RUN, resamples=300, confidence=0.9, seed=1)[1]
    for axis, labels in (("side", SIDES), ("part", PARTS)):
        assert set(found[axis]) == set(labels) - {""}
        for label, cells in found[axis].items():
            rows = [row for row, name in enumerate(labels) if name == label]
            own = {"": mean(RIGHT[rows])}
            alone = estimates(own, [CLUSTERS[row] for row in rows], resamples=300, confidence=0.9, seed=1)[""]
            assert (cells["all"].value, cells["all"].n, cells["all"].method) == (alone.value, alone.n, alone.method)
            assert (cells["all"].low, cells["all"].high) == pytest.approx((alone.low, alone.high))


def test_metrics_without_samples_and_axes_of_one_label_are_left_out() -> None:
    found = estimate_all(RUN, resamples=300, confidence=0.9, seed=1)[1]
    assert set(found) == {"side", "part"}
    assert set(found["side"]["left"]) == {"all", "odd"}
    assert set(found["side"]["right"]) == {"all"}


def test_the_whole_is_the_same_with_strata_and_without() -> None:
    whole, _ = estimate_all(RUN, resamples=300, confidence=0.9, seed=1)
    alone, none = estimate_all(RUN, resamples=300, confidence=0.9, seed=1, strata=False)
    assert whole == alone
    assert none == {}


def test_labels_come_from_the_record_or_its_meta() -> None:
    rows = [{"modality": "CT"}, {"meta": {"modality": " MRI "}}, {"meta": None}]
    assert labels_of(rows) == {"modality": ["CT", "MRI", ""]}
