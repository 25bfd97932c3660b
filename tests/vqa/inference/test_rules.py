"""`rules` answers from regions alone: what they decide it says, of what they do not it says so."""

import json
from pathlib import Path

import numpy as np
import pytest
from making import make_image

from medglip.grounding.evidence.evidence import Evidence
from medglip.grounding.types import Region
from medglip.vqa.derived.claims import claims
from medglip.vqa.derived.facts import facts_of
from medglip.vqa.derived.wordings import WORDINGS, question_text
from medglip.vqa.inference.rules import (
    ABSTENTION,
    RULES_EVIDENCE,
    answer_by_rules,
    predict_by_rules,
    unknown_name,
)
from medglip.vqa.task import Question

LOOKED_FOR = ("cyst", "nodule", "liver", "calcification", "spleen")


def region(phrase: str, *box: float, score: float = 0.9) -> Region:
    return Region(phrase=phrase, box_xyxy_px=np.array(box, np.float32), score=score)


SEEN = (
    region("cyst", 5, 5, 25, 25, score=0.8),
    region("nodule", 70, 60, 80, 70),
    region("nodule", 20, 80, 26, 86),
    region("liver", 2, 2, 48, 60),
    region("calcification", 60, 20, 70, 30, score=0.49),
)


def answer(question: str, *regions: Region, vocabulary: dict[str, list[str]] | None = None) -> str:
    evidence = Evidence.of_image("predicted", (100, 100), regions or SEEN, LOOKED_FOR)
    return answer_by_rules(question, evidence, vocabulary)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Is there a cyst in the image?", "yes"),
        ("Are there any signs of calcification?", "no"),  # below the threshold
        ("Does this scan show the spleen?", "no"),
        ("Is a nodule visible here?", "yes"),
        ("Is there a spleen or a cyst?", "yes"),
        ("Where is the cyst?", "upper left of the image"),
        ("Is the cyst in the right half of the image?", "no"),
        ("Is the cyst on the left side of the image?", "yes"),
        ("Is the cyst in the upper left of the image?", "yes"),
        ("Is the cyst in the upper left part of the picture?", "yes"),
        ("Which side is the cyst on?", "the image's left half"),
        ("How many nodules are there?", "2"),
        ("How many calcifications are there?", "0"),
        ("Are there multiple nodules?", "yes"),
        ("Is there more than one area of calcification in the image?", "no"),  # none is not several
        ("How large is the cyst?", "small, 1 to 5 % of the image"),
        ("Is the cyst inside the liver?", "yes"),
        ("Is the liver larger than the cyst?", "yes"),
        ("Which finding is there in the image?", "cyst and nodule"),
        # what boxes do not decide
        ("Where is the spleen?", ABSTENTION),
        ("Is the cyst calcified?", ABSTENTION),
        ("Is there a nodule in the spleen?", ABSTENTION),
        ("Is the liver enlarged?", ABSTENTION),
        ("On which side of the patient is the cyst?", ABSTENTION),
        ("Is the margin of the cyst smooth or spiculated?", ABSTENTION),
        ("Is this an axial image?", ABSTENTION),
        ("Where is the unheard-of thing?", ABSTENTION),
        ("Which side is the cyst larger on?", ABSTENTION),
        ("Is the liver larger than normal?", ABSTENTION),
        ("What pathology is shown in the liver?", ABSTENTION),
        ("What is the diagnosis?", ABSTENTION),
    ],
)
def test_a_question_is_answered_by_its_template(question: str, expected: str) -> None:
    assert answer(question) == expected


def test_the_modality_is_the_only_one_that_has_what_was_found() -> None:
    known = {"ct": ["liver", "cyst", "nodule"], "mr": ["liver"]}
    assert answer("Which imaging modality is this?", vocabulary=known) == "CT"
    assert answer("Was this image taken by MRI?", vocabulary=known) == "no"
    assert answer("Is this a CT?", vocabulary=known) == "yes"
    assert answer("Is this a CT?", region("liver", 0, 0, 9, 9), vocabulary=known) == ABSTENTION


def test_organs_with_a_side_tell_how_the_patient_is_shown() -> None:
    lungs = (region("right lung", 5, 5, 40, 90), region("left lung", 60, 5, 95, 90), region("nodule", 70, 60, 80, 70))
    assert answer("On which side of the patient is the nodule?", *lungs) == "the patient's left"
    assert answer("Is the nodule on the patient's right side?", *lungs) == "no"
    assert answer("Is the nodule on the patient's right side?", lungs[2]) == ABSTENTION


def test_derived_questions_in_every_wording_are_answered_truly_or_not_at_all() -> None:
    regions = (region("cyst", 5, 5, 25, 25), region("nodule", 70, 70, 90, 95), region("liver", 2, 30, 48, 90))
    image = make_image("a", size_px=(100, 100), regions=regions, phrases=LOOKED_FOR)
    evidence, answered = Evidence.of_image("oracle", image.size_px, regions, LOOKED_FOR), set()
    for claim in claims(facts_of(image)):
        for wording in range(len(WORDINGS[claim.form])):
            question = question_text(claim.form, wording, claim.asks)
            ours = answer_by_rules(question, evidence)
            assert ours in (claim.answer, ABSTENTION), question
            answered |= {(claim.form, wording)} if ours != ABSTENTION else set()
    # no vocabulary tells the modality here, nor any label with a side the patient's
    forms = {form for form in {claim.form for claim in claims(facts_of(image))} if "modality" not in form}
    forms -= {"side-patient", "side-patient-yesno"}
    wordings = {(form, wording) for form in forms for wording in range(len(WORDINGS[form]))}
    assert wordings - answered == set()


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Is there a Herz?", "Herz"),
        ("Where is the Herz in this image?", "Herz"),
        ("How many Zellkerne are there?", "Zellkerne"),
        ("Is there evidence of contrast enhancement?", "contrast enhancement"),
        ("Is there a lung nodule?", ""),
        ("Is there anything abnormal?", ""),
        ("Where is the abnormality?", ""),
        ("Is this an MRI?", ""),
    ],
)
def test_a_name_that_is_no_label_is_told_from_one_that_is(question: str, name: str) -> None:
    assert unknown_name(question) == name


def test_without_evidence_and_on_several_images_it_does_not_answer(tmp_path: Path) -> None:
    one = Evidence.of_image("predicted", (100, 100), SEEN)
    two = Evidence(source="predicted", images=one.images * 2)
    assert {answer_by_rules("Is there a cyst?", e) for e in (Evidence.none(), two)} == {ABSTENTION}


def test_records_name_the_model_and_the_regions_and_a_second_call_adds_nothing(tmp_path: Path) -> None:
    image = make_image("a", size_px=(100, 100))
    item = Question(
        question_id="q", image=image, question="Is there a cyst?", answer="no", answer_type="closed", phrases=("cyst",)
    )
    example = item.to_example(Evidence.of_image("shuffled", (100, 100), SEEN[:1], ("cyst",)))
    jobs, path = [item.job(example, RULES_EVIDENCE, {"model": "base", "adapter": "x"})], tmp_path / "r.jsonl"
    for _ in range(2):
        predict_by_rules(jobs, path, {})
    (row,) = map(json.loads, path.read_text().splitlines())
    assert (row["model"], row["adapter"], row["evidence"], row["prediction"]) == ("rules", "", "shuffled", "yes")
    assert [one["phrase"] for one in row["regions"]] == ["cyst"]
