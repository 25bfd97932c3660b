"""Phrase grounding: zero, one or many boxes, presence, calibration, FROC; strata, counts and curves of records."""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from medglip.eval.metrics.detection.calibration import calibration_error, reliability
from medglip.eval.metrics.detection.froc import RATES, Froc, count_by_score
from medglip.eval.metrics.detection.pairs import Pair, make_pair
from medglip.eval.metrics.detection.phrase import grounding_measures, hungarian_iou, is_exact, union_iou
from medglip.eval.metrics.detection.presence import auroc
from medglip.eval.page.curves import reliability_file
from medglip.eval.settings import EvalSettings
from medglip.eval.statistics.measure import Measure
from medglip.eval.statistics.ranking import RankedHits
from medglip.eval.tasks.grounding import curves, measure_grounding, region_size
from medglip.grounding.bad_input import BadInput
from medglip.grounding.geometry import mask_to_rle
from medglip.grounding.types import Region

LEFT, RIGHT, HALF, FAR = [0, 0, 10, 10], [10, 0, 20, 10], [0, 0, 10, 5], [50, 50, 60, 60]
ONE = EvalSettings()


def _pair(truths: list[list[int]], said: list[list[int]], unsaid: list[list[int]] | None = None) -> Pair:
    regions = [Region(phrase="", box_xyxy_px=np.array(box), score=0.9 - n / 100) for n, box in enumerate(said)]
    regions += [Region(phrase="", box_xyxy_px=np.array(box), score=0.3) for box in unsaid or []]
    return make_pair([Region(phrase="", box_xyxy_px=np.array(box)) for box in truths], regions)


def _value(measure: Measure, weights_N: Any) -> float:
    return float(measure.value_at(np.asarray(weights_N, float)[None])[0])


def test_several_boxes_by_hand() -> None:
    assert union_iou(_pair([LEFT, RIGHT], [[0, 0, 20, 10]])) == 1.0  # one box over both is right as a union,
    assert hungarian_iou(_pair([LEFT, RIGHT], [[0, 0, 20, 10]])) == pytest.approx(0.5 / 2)  # not one to one
    assert union_iou(_pair([LEFT], [HALF, [0, 2, 10, 5]])) == pytest.approx(0.5)  # what lies twice counts once
    assert union_iou(_pair([LEFT], [FAR])) == union_iou(_pair([LEFT], [], [LEFT])) == 0.0
    assert hungarian_iou(_pair([LEFT, RIGHT], [RIGHT, HALF])) == pytest.approx((1 + 0.5) / 2)
    assert hungarian_iou(_pair([LEFT], [], [LEFT])) == 0.0


def test_exact_sets_of_boxes() -> None:
    assert is_exact(_pair([LEFT, RIGHT], [RIGHT, HALF]))  # .5 is enough
    assert is_exact(_pair([], [], [LEFT]))
    assert not is_exact(_pair([LEFT], [LEFT, FAR]))
    assert not is_exact(_pair([LEFT, RIGHT], [LEFT, HALF]))
    assert not is_exact(_pair([], [LEFT]))


def test_said_boxes_and_presence_by_hand() -> None:
    pairs = [_pair([LEFT, RIGHT], [LEFT, HALF]), _pair([LEFT], [], [LEFT]), _pair([], [FAR]), _pair([], [])]
    found = {name: part.value for name, part in grounding_measures(pairs).items()}
    assert (found["precision_50"], found["recall_50"]) == pytest.approx((1 / 3, 1 / 3))
    assert found["f1_50"] == pytest.approx(1 / 3)
    assert (found["t_acc"], found["n_acc"], found["pr_f1_50"]) == (0.5, 0.5, 0.25)
    assert found["presence_auroc"] == pytest.approx(3 / 4 - 1 / 8)  # .9, .3 present; .9, 0 absent: 1/2 + 1 + 0 + 1 of 4


def test_auroc_equals_sklearn_under_weights_too() -> None:
    rng = np.random.default_rng(0)
    scores, present = rng.integers(0, 12, 200) / 11, rng.random(200) < 0.4
    measure = auroc(scores, present)
    assert measure.value == pytest.approx(roc_auc_score(present, scores), abs=1e-12)
    weights = rng.integers(0, 4, 200)
    expected = roc_auc_score(np.repeat(present, weights), np.repeat(scores, weights))
    assert _value(measure, weights) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(_value(measure, present))


def test_calibration_equals_torchmetrics_and_sklearn() -> None:
    doc = (np.array([0.25, 0.25, 0.55, 0.75, 0.75]), np.array([0, 0, 1, 1, 1], bool))
    assert calibration_error([doc], 2).value == pytest.approx(0.29)
    rng = np.random.default_rng(1)
    pairs = [_pair([LEFT], [HALF, FAR, LEFT][: 1 + n % 3], [HALF, FAR][: n % 2]) for n in range(20)]
    scores = [np.sort(rng.random(len(pair.scores_P)))[::-1] for pair in pairs]
    scores[0] = np.ones_like(scores[0])
    pairs = [
        Pair(truths_G4=pair.truths_G4, boxes_P4=pair.boxes_P4, scores_P=part, num_confident=0)
        for pair, part in zip(pairs, scores, strict=True)
    ]
    right = np.concatenate([pair.ious_PG.max(1) >= 0.5 for pair in pairs])
    flat = np.concatenate(scores)
    found = grounding_measures(pairs)
    theirs = binary_calibration_error(torch.tensor(flat), torch.tensor(right).int(), n_bins=15, norm="l1")
    assert found["ece"].value == pytest.approx(float(theirs), abs=1e-6)
    assert found["brier"].value == pytest.approx(brier_score_loss(right, flat), abs=1e-12)
    bins = reliability(flat, right)
    assert sum(part["boxes"] for part in bins) == len(flat)
    error = sum(abs(part["score"] - part["accuracy"]) * part["boxes"] for part in bins) / len(flat)
    assert error == pytest.approx(found["ece"].value)


def test_froc_by_hand() -> None:
    hits = RankedHits(
        value=0.0,
        rows_N=np.arange(4),
        scores_D=np.array([0.9, 0.8, 0.7, 0.7]),
        samples_D=np.array([0, 1, 1, 2]),
        hits_DT=np.array([[True], [False], [True], [False]]),
        truths_N=np.array([1, 1, 1, 1]),
    )
    scores, wrong, right = count_by_score(hits, np.ones((1, 4)))
    assert [*zip(scores, *wrong, *right, strict=True)] == [
        (0.9, 0, 1),
        (0.8, 1, 1),
        (0.7, 2, 2),
    ]  # equal: one point
    assert Froc.of(hits).value == pytest.approx((0.25 + 0.25 + 5 * 0.5) / len(RATES))
    assert _value(Froc.of(hits), [2, 0, 0, 0]) == 1.0
    assert np.isnan(_value(Froc.of(hits), [0, 0, 0, 0]))


@pytest.fixture
def records(record: Callable[..., Any], region: Callable[..., Any]) -> list[Any]:
    deep = region(0, 0, 10, 10) | {"path": ["lung", "lobe"]}
    return [
        record(0, "grounding", [deep], [region(0, 0, 10, 10, score=0.8)], meta={"size_px": [100, 100]}),
        record(1, "grounding", [region(0, 0, 50, 50)], [], meta={"size_px": [100, 100], "level": "organ"}),
        record(2, "grounding", [], [], phrases=["nodule"]),
        record(3, "grounding", [], [region(5, 5, 9, 9, score=0.6)], meta={"presence": {"opacity": 0.1}}),
    ]


def test_counts_and_strata_of_records(records: list[Any]) -> None:
    measured = measure_grounding(records, ONE)
    counts = dict(measured.counts)
    assert (counts["n"], counts["scored"], counts["failed"], counts["abstained"], counts["skipped"]) == (4, 3, 1, 0, 0)
    assert measured.strata["level"] == ["2", "organ", "", ""]
    assert measured.strata["region_size"] == ["medium", "large", "", ""]
    assert measured.strata["label"] == ["opacity", "opacity", "nodule", "opacity"]
    assert measured.measures["presence_auroc"].value == pytest.approx((1 + 1 + 0 + 0.5) / 4)  # .8, 0 against 0, .1
    many = [row | {"id": str(n), "question": f"phrase {n}"} for n, row in enumerate(records[:1] * 61)]
    assert "label" not in measure_grounding(many, ONE).strata


def test_region_sizes() -> None:
    def sized(*sides: int) -> list[Region]:
        return [Region(phrase="", box_xyxy_px=np.array([0, 0, side, side])) for side in sides]

    image = [100, 100]
    sizes = [region_size(sized(*sides), image) for sides in ((9,), (10,), (31,), (32,), (9, 32))]
    assert sizes == ["small", "medium", "medium", "large", "large"]
    assert [region_size(sized(side), None) for side in (31, 32, 96, 97)] == ["small", "medium", "medium", "large"]
    assert region_size([], image) == ""


def test_curves_of_records(records: list[Any]) -> None:
    found = curves(records, ONE)
    assert found["pr"] == [
        {"threshold": 0.8, "recall": 0.5, "precision": 1.0},
        {"threshold": 0.6, "recall": 0.5, "precision": 0.5},
    ]
    assert found["froc"][-1] == {"threshold": 0.6, "false_positives": 0.25, "sensitivity": 0.5}
    assert [part["boxes"] for part in found["reliability"]] == [1, 1]
    nothing = curves([row | {"prediction": []} for row in records], ONE)
    assert nothing == {"reliability": [], "pr": [], "froc": []}
    drawn = ElementTree.fromstring(reliability_file(found))
    dots = [child for child in drawn if child.tag.endswith("circle")]
    assert len(dots) == len(found["reliability"])
    assert reliability_file(nothing) == ""


def test_bad_regions_name_their_record(record: Callable[..., Any], region: Callable[..., Any]) -> None:
    small, large = (region(0, 0, 4, 4, mask_rle=mask_to_rle(np.ones((side, side), bool))) for side in (4, 5))
    for truth, found, meta, said in (
        (region(0, 0, 4, 4), region(0, 0, 4, 4, score=float("nan")), {}, "score of .* is nan"),
        (region(0, 0, 4, 4), region(4, 0, 0, 4), {}, "no area"),
        (small, large, {}, "different sizes"),
        (small, small, {"presence": float("nan")}, "presence is nan"),
    ):
        with pytest.raises(BadInput, match=f"record 's7': .*{said}"):
            measure_grounding([record(7, "grounding", [truth], [found], meta=meta)], ONE)
