from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from sklearn.metrics import classification_report, f1_score

from medglip.eval.hf_metrics import LabelF1
from medglip.eval.metrics.clinical.chexbert import CHEXPERT, TOP_5, Labels, UncertainPolicy, label_measures
from medglip.eval.metrics.fields import field_measures
from medglip.eval.settings import EvalSettings
from medglip.grounding.bad_input import BadInput

Make = Callable[..., Any]
POLICIES = get_args(UncertainPolicy)


def _marks(num: int, num_labels: int = 14, seed: int = 0) -> np.ndarray:
    """int[2, N, L]: references and predictions of 1, 0 and -1; the last label, No Finding, is never uncertain."""
    marks = np.random.default_rng(seed).choice([1, 0, 0, -1], (2, num, num_labels))
    marks[..., -1] = np.abs(marks[..., -1])
    return marks


def _labels(marks: np.ndarray, names: tuple[str, ...] = CHEXPERT) -> list[Labels]:
    sides = ({"reference": truth, "prediction": found} for truth, found in zip(*marks.tolist(), strict=True))
    return [
        Labels.model_validate({name: dict(zip(names, side, strict=True)) for name, side in both.items()})
        for both in sides
    ]


def _binary(marks: np.ndarray, policy: str) -> np.ndarray:
    """What scikit-learn is given; a label left out by `ignore` is a true negative to it, which F1 does not count."""
    if policy == "ignore":
        return np.where((marks < 0).any(0), 0, marks)
    return np.where(marks < 0, 1 if policy == "positive" else 0, marks)


def _theirs(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """scikit-learn's averages under our names, by both of its functions."""
    names = {"micro": "micro", "macro": "macro", "example": "samples"}
    options: dict[str, Any] = {"zero_division": 0}
    report: Any = classification_report(truth, predicted, output_dict=True, **options)
    found = {ours: float(f1_score(truth, predicted, average=theirs, **options)) for ours, theirs in names.items()}
    assert found == pytest.approx({ours: report[f"{theirs} avg"]["f1-score"] for ours, theirs in names.items()})
    return found


@pytest.mark.parametrize("policy", POLICIES)
def test_label_f1_is_scikit_learns(policy: UncertainPolicy) -> None:
    marks = _marks(40)
    marks[:, 3:6] = 0  # reports without any finding
    marks[:, :, 2] = 0  # a finding that no report names
    found = label_measures(_labels(marks), policy)
    truth, predicted = _binary(marks, policy)
    top = [CHEXPERT.index(name) for name in TOP_5]
    for size, columns in ((14, list(range(14))), (5, top)):
        for name, expected in _theirs(truth[:, columns], predicted[:, columns]).items():
            assert found[f"chexbert_{name}_f1_{size}"].value == pytest.approx(expected, abs=1e-12)
    assert len(found) == 6


@pytest.mark.parametrize("policy", POLICIES)
def test_a_weighted_resample_is_scikit_learns_on_the_drawn_reports(policy: UncertainPolicy) -> None:
    marks = _marks(30, seed=1)
    found = label_measures(_labels(marks), policy)
    drawn = np.random.default_rng(2).integers(0, 30, 30)
    truth, predicted = _binary(marks, policy)[:, drawn]
    weights = np.bincount(drawn, minlength=30)[None].astype(float)
    for name, expected in _theirs(truth, predicted).items():
        assert found[f"chexbert_{name}_f1_14"].value_at(weights)[0] == pytest.approx(expected, abs=1e-12)


def test_policies_by_hand() -> None:
    names = ("fracture", "nodule", "effusion")
    marks = np.array([[[1, -1, 0]], [[1, 0, -1]]])
    micro = {p: label_measures(_labels(marks, names), p)["label_micro_f1"].value for p in POLICIES}
    assert micro["positive"] == pytest.approx(2 / 4)  # one hit, one missed, one too many
    assert micro["negative"] == 1.0
    assert micro["ignore"] == 1.0


def test_ignored_labels_leave_both_sides() -> None:
    marks = np.array([[[1, -1, 1]], [[0, 1, 1]]])  # missed, of an uncertain reference, right
    found = label_measures(_labels(marks, ("a", "b", "c")), "ignore")
    assert found["label_micro_f1"].value == pytest.approx(2 / 3)
    assert found["label_macro_f1"].value == pytest.approx(1 / 3)
    assert list(found) == ["label_micro_f1", "label_macro_f1", "label_example_f1"]


def test_parts_groups_and_pairs(record: Make) -> None:
    labels = _labels(_marks(12, seed=3))
    whole = label_measures(labels)
    keep = np.arange(12) % 3 == 0
    part = label_measures([given for given, kept in zip(labels, keep, strict=True) if kept])
    for name, measure in whole.items():
        assert measure.subset(keep).value == pytest.approx(part[name].value)
        grouped = measure.aggregate(np.arange(12) // 2, 6)
        assert grouped.value_at(np.ones((1, 6)))[0] == pytest.approx(measure.value)
        both = measure.concat(whole[name])
        assert both.value_at(np.eye(2).repeat(12, 1)) == pytest.approx([measure.value] * 2)


def test_forms_of_labels(record: Make) -> None:
    as_list = [0, 1, None, "", -1.0, 0, 0, 0, 0, True, 0, 0, 0, 0]
    named = dict.fromkeys(CHEXPERT, 0) | {"Cardiomegaly": 1, "Edema": -1, "Pleural Effusion": 1}
    given = record(0, "report", "a", "b", meta={"labels": {"reference": as_list, "prediction": named}})
    found, notes = field_measures([given], EvalSettings())
    assert [measure.value for measure in found.values()][:2] == pytest.approx([1.0, 3 / 14])
    assert found["chexbert_macro_f1_5"].value == pytest.approx(3 / 5)
    assert notes == [
        "Not computed, no record holds its input: RadGraph reward (meta.radgraph), RadFact (meta.radfact), "
        "RadCliQ-v1 (meta.radcliq)."
    ]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ({"reference": {"a": 1}}, r"meta\.labels\.prediction of 's0'"),
        ({"reference": {"a": 1}, "prediction": {"b": 1}}, r"meta\.labels of 's0': on one side only: a, b"),
        ({"reference": {"a": 2}, "prediction": {"a": 1}}, r"meta\.labels\.reference\.a of 's0': 2 is no label"),
        ({"reference": {"a": "yes"}, "prediction": {"a": 1}}, r"'yes' is no label"),
        ({"reference": {"a": float("nan")}, "prediction": {"a": 1}}, r"nan is no label"),
        ({"reference": [1], "prediction": {"a": 1}}, r"a list of 1 labels: give 14"),
        ({"reference": {}, "prediction": {}}, r"no labels"),
        ({"reference": {"No Finding": -1}, "prediction": {"No Finding": 1}}, r"No Finding is 1 or 0"),
        (7, r"meta\.labels of 's0'"),
    ],
)
def test_broken_labels_name_the_record(record: Make, labels: Any, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        field_measures([record(0, "report", "a", "b", meta={"labels": labels})], EvalSettings())


def test_one_label_set_a_run(record: Make) -> None:
    sides = [{"reference": {name: 1}, "prediction": {name: 1}} for name in ("a", "b")]
    records = [record(row, "report", "a", "b", meta={"labels": given}) for row, given in enumerate(sides)]
    with pytest.raises(BadInput, match="'s1' and of 's0' differ in a, b"):
        field_measures(records, EvalSettings())


def test_metric_of_evaluate() -> None:
    names = ["a", "b", "c"]
    found = LabelF1().compute(
        predictions=[[1, 0, None], [0, 1, -1]],
        references=[[1, 1, 0], [0, 1, 0]],
        names=names,
        uncertain_policy="ignore",
    )
    assert found == pytest.approx(
        {"label_micro_f1": 4 / 5, "label_macro_f1": (1 + 2 / 3) / 3, "label_example_f1": 5 / 6}
    )
