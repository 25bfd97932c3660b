"""Labels that words tell, and MIMIC-CXR-JPG's as the reference where a record has no other."""

from collections.abc import Callable
from typing import Any

import pytest

from medglip.eval.metrics.clinical.chexbert import CHEXPERT, Labels, label_measures
from medglip.eval.metrics.clinical.chexpert import read_labels, with_chexpert
from medglip.eval.records import data_sha256
from medglip.eval.score import score
from medglip.eval.settings import EvalSettings

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("Moderate left pleural effusion with adjacent atelectasis.", {"Pleural Effusion", "Atelectasis"}),
        ("No pleural effusion or pneumothorax. The heart is mildly enlarged.", {"Cardiomegaly"}),
        ("Pericardial effusion.", set()),
        ("Endotracheal tube in place. Lungs are clear.", {"Support Devices"}),
        ("Mild interstitial edema; no focal consolidation.", {"Edema"}),
        ("Multiple pulmonary nodules and old rib fractures.", {"Lung Lesion", "Fracture"}),
        ("Opacity at the right base may represent pneumonia.", {"Lung Opacity", "Pneumonia"}),
        ("", set()),
    ],
)
def test_words_tell_what_a_report_affirms(text: str, there: set[str]) -> None:
    marks = read_labels(text)
    assert list(marks) == list(CHEXPERT)
    assert {label for label, mark in marks.items() if mark} - {"No Finding"} == there
    assert marks["No Finding"] == int(bool(text) and not there - {"Support Devices"})


def test_chexpert_is_the_reference_where_a_record_has_no_other(record: Make) -> None:
    rows = [
        record(0, "report", "a", "Pleural effusion. Edema.", meta={"chexpert": {"Edema": 1, "Pneumonia": -1}}),
        record(1, "report", "a", "Clear lungs.", meta={"chexpert": {"No Finding": 1}}),
        record(2, "report", "a", "Clear lungs.", meta={}),
    ]
    found = score(rows, "report", EvalSettings(resamples=10, metrics=("label_micro_f1",)))
    # hits: Edema, No Finding; marks: Edema twice, Pneumonia, Pleural Effusion, No Finding twice
    assert found.metrics["label_micro_f1"].value == pytest.approx(2 * 2 / 6)
    assert found.metrics["label_micro_f1"].n == 2
    assert any("no figure of CheXbert" in note for note in found.notes)
    assert not any(name.startswith("chexbert") for name in score(rows, "report", EvalSettings(resamples=10)).metrics)
    # an uncertain label may count as absent
    strict = EvalSettings(resamples=10, metrics=("label_micro_f1",), uncertain_policy="negative")
    assert score(rows, "report", strict).metrics["label_micro_f1"].value == pytest.approx(2 * 2 / 5)
    other = [{**rows[0], "meta": {"chexpert": {"Edema": 0}}}, *rows[1:]]
    assert data_sha256(rows) != data_sha256(other)


def test_labels_that_are_there_stay_and_lack_only_their_reference(record: Make) -> None:
    given = {"reference": dict.fromkeys(CHEXPERT, 0), "prediction": dict.fromkeys(CHEXPERT, 1)}
    whole = record(0, "report", "a", "Edema.", meta={"labels": given, "chexpert": {"Edema": 1}})
    assert with_chexpert(whole) is whole
    half = record(0, "report", "a", "b", meta={"labels": {"prediction": given["prediction"]}, "chexpert": {"Edema": 1}})
    labels = Labels.model_validate(with_chexpert(half)["meta"]["labels"])  # pyright: ignore[reportOptionalSubscript, reportTypedDictNotRequiredAccess]
    assert label_measures([labels])["chexbert_micro_f1_14"].value == pytest.approx(2 / 15)
