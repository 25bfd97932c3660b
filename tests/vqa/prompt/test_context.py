"""What a prompt says of its images: what was told, unless a question asks for just that."""

from dataclasses import replace

import pytest
from making import make_image

from medglip.grounding.evidence.evidence import Evidence
from medglip.report.task import Report
from medglip.vqa.prompt.context import context_of
from medglip.vqa.task import Question

CT = make_image("a", modality="ct", body_part="abdomen")


@pytest.mark.parametrize(
    ("modality", "part", "line"),
    [
        ("ct", "abdomen", "CT of the abdomen."),
        ("endoscopy", "", "Endoscopy."),
        ("unknown", "knee", "Image of the knee."),
        ("unknown", "", ""),
    ],
)
def test_the_line_says_what_was_told(modality: str, part: str, line: str) -> None:
    assert context_of([make_image("a", modality=modality, body_part=part)]) == line


def test_what_images_do_not_share_is_left_out() -> None:
    assert context_of([CT, replace(CT, body_part="chest")]) == "CT."
    assert context_of([CT, replace(CT, modality="mr")]) == "Image of the abdomen."


@pytest.mark.parametrize("kind", ["modality", "organ", "ORGAN, pres", "body", "body_part", "caption"])
def test_a_question_does_not_get_its_answer(kind: str) -> None:
    question = Question(question_id="q", image=CT, question="?", answer="a", answer_type="open", content_type="size")
    assert question.to_example(Evidence.none()).context == "CT of the abdomen."
    assert replace(question, content_type=kind).to_example(Evidence.none()).context == ""
    assert replace(question, hides=True).to_example(Evidence.none()).context == ""


def test_a_report_is_told_what_its_own_images_are() -> None:
    report = Report(report_id="r", image=CT, text="Clear.", prior_image=make_image("b", modality="mr"))
    assert report.to_example(Evidence.none()).context == "CT of the abdomen."
