"""Verdicts on sentences: the reference of a phantom is true in full, and what is false is found false, and where."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from making import make_image

from medglip.eval.metrics.clinical.chexbert import Labels, label_measures
from medglip.eval.metrics.clinical.radfact import Verdicts, radfact_measures
from medglip.grounding.datasets.phantoms.draw import FINDINGS
from medglip.grounding.types import Region
from medglip.grounding.vocabulary.sentences import Sentence, ground_sentences
from medglip.grounding.vocabulary.statements import read_statements
from medglip.report.records import finding_labels, judge, truth_of_image
from medglip.report.task import Report


def region(phrase: str, x: float, y: float) -> Region:
    return Region(phrase=phrase, box_xyxy_px=np.array([x, y, x + 20, y + 20], np.float32))


LEFT, RIGHT, OPACITY = region("nodule", 5, 5), region("nodule", 75, 5), region("opacity", 5, 75)
STUDY = make_image(
    "s",
    modality="xray",
    split="val",
    size_px=(100, 100),
    regions=(LEFT, RIGHT, region("heart", 40, 40)),
    phrases=("heart", "nodule", "opacity"),
)
REFERENCE = Report(
    report_id="r",
    image=STUDY,
    text="Two nodules are seen, the larger one in the upper left part of the image. No opacity is seen.",
    sentences=(
        Sentence(
            text="Two nodules are seen, the larger one in the upper left part of the image.", regions=(LEFT, RIGHT)
        ),
        Sentence(text="No opacity is seen.", is_negated=True),
    ),
)
LABELS = ("nodule", "opacity")


def said(*texts: str, regions: Sequence[Region] = ()) -> tuple[Sentence, ...]:
    return tuple(Sentence(text=text, regions=tuple(regions)) for text in texts)


def test_a_phantoms_own_report_is_right_in_every_measure(reports: list[Report]) -> None:
    labels = finding_labels(reports)
    assert set(labels) == {name for report in reports for name in FINDINGS[report.image.modality]}
    found = [judge(report, report.sentences, labels) for report in reports]
    assert all(set(one["labels"]["reference"]) == set(labels) for one in found)
    measures = label_measures([Labels.model_validate(one["labels"]) for one in found])
    measures |= radfact_measures([Verdicts.model_validate(one["radfact"]) for one in found])
    values = {name: part.value for name, part in measures.items()}
    assert values.pop("label_example_f1") < 1  # pictures without a finding count as 0 there
    assert set(values.values()) == {1.0}


def test_sentences_of_another_picture_are_not_borne_out(reports: list[Report]) -> None:
    labels = finding_labels(reports)
    one, other = next((a, b) for a in reports for b in reports if a.image.modality != b.image.modality)
    found = judge(one, other.sentences, labels)
    assert {verdict["status"] for side in found["radfact"].values() for verdict in side} == {"not_entailed"}


@pytest.mark.parametrize(
    ("text", "is_true"),
    [
        ("There is a nodule in the upper left part of the image.", True),  # one of the two
        ("There is a nodule in the lower left part of the image.", False),
        ("Two nodules are seen.", True),
        ("Three nodules are seen.", False),
        ("Two nodules are seen, no opacity.", True),
        ("There is a nodule and an opacity.", False),
        ("No nodule is seen.", False),
        ("The heart is visible in the centre part of the image.", True),  # true, though the reference is silent
        ("No polyp is seen.", False),  # nobody looked for polyps
        ("The.", False),
        ("", False),
    ],
)
def test_what_is_written_is_held_against_the_truth(text: str, is_true: bool) -> None:
    verdict = judge(REFERENCE, said(text), LABELS)["radfact"]["candidate"][0]
    assert (verdict["status"] == "entailed") is is_true
    assert bool(verdict["evidence_boxes"]) <= is_true


def test_the_reference_is_held_against_what_is_written() -> None:
    written = said("Two nodules are seen.", regions=(RIGHT,))
    verdicts = judge(REFERENCE, written, LABELS)["radfact"]["reference"]
    assert [verdict["status"] for verdict in verdicts] == ["entailed", "not_entailed"]
    assert verdicts[0]["evidence_boxes"] == [[0.75, 0.05, 0.95, 0.25]]
    assert verdicts[0]["boxes"] == [[0.05, 0.05, 0.25, 0.25], [0.75, 0.05, 0.95, 0.25]]
    assert judge(REFERENCE, said("There is a nodule."), LABELS)["radfact"]["reference"][0]["status"] == "not_entailed"


def test_a_region_at_the_wrong_place_is_not_in_place() -> None:
    wrong = judge(REFERENCE, said("There is a nodule.", regions=(region("nodule", 5, 75),)), LABELS)
    right = judge(REFERENCE, said("There is a nodule.", regions=(LEFT,)), LABELS)
    none = judge(REFERENCE, said("There is a nodule."), LABELS)
    values = [
        {name: part.value for name, part in radfact_measures([Verdicts.model_validate(one["radfact"])]).items()}
        for one in (wrong, right, none)
    ]
    assert [one["radfact_logical_precision"] for one in values] == [1.0, 1.0, 1.0]
    assert [one["radfact_spatial_precision"] for one in values[:2]] == [0.0, 1.0]
    assert np.isnan(values[2]["radfact_spatial_precision"])


def test_labels_are_those_of_the_regions_and_those_the_text_affirms() -> None:
    found = judge(REFERENCE, said("No nodule is seen.", "There is an opacity."), LABELS)["labels"]
    assert found == {"reference": {"nodule": 1, "opacity": 0}, "prediction": {"nodule": 0, "opacity": 1}}


def test_a_box_outside_the_picture_is_cut_and_an_empty_one_left_out() -> None:
    sentences = said("There is a nodule.", regions=(region("nodule", 90, 90), region("nodule", 120, 0)))
    verdict = judge(REFERENCE, sentences, LABELS)["radfact"]["candidate"][0]
    assert verdict["boxes"] == [[0.9, 0.9, 1.0, 1.0]]


def test_a_number_belongs_to_its_part_of_the_sentence() -> None:
    (sentence,) = ground_sentences("Two nodules and an opacity are seen.", (LEFT, OPACITY), _tree())
    found = {one.phrase: (one.number, len(one.regions)) for one in read_statements(sentence)}
    assert found == {"nodule": (2, 1), "opacity": (None, 1)}
    assert {one.phrase: one.number for one in truth_of_image(STUDY)} == {"heart": 1, "nodule": 2, "opacity": 0}


def test_nothing_is_exact_where_no_finding_is_annotated() -> None:
    assert finding_labels([replace(REFERENCE, image=replace(STUDY, phrases=("right lung",), regions=()))]) == ()


def _tree():  # noqa: ANN202 - the house's own
    from medglip.grounding.vocabulary.labels import load_labels

    return load_labels()
