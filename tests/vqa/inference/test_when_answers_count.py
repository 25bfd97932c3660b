"""When an answer counts: the file beside an adapter, kinds of question, who answers which."""

import json
from pathlib import Path

import pytest

from medglip.grounding.bad_input import BadInput
from medglip.vqa.inference.confidence import FILE, Confidence, KindScore, kind_scores, read_confidence
from medglip.vqa.inference.rules import EXACT_KINDS, TEMPLATES, kind_of


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is there a nodule?", "presence"),
        ("How many nodules are there?", "count"),
        ("Where is the nodule?", "place"),
        ("Which half of the image holds the nodule?", "half"),
        ("Is the nodule left of the heart?", "relation"),
        ("What is the modality?", "modality"),
        ("Why?", ""),
    ],
)
def test_a_question_is_of_the_kind_of_the_template_that_fits(question: str, kind: str) -> None:
    assert kind_of(question) == kind


def test_what_boxes_decide_are_kinds_that_there_are() -> None:
    assert {rule.__name__.strip("_").replace("_", " ") for _, rule in TEMPLATES} | {"relation"} >= EXACT_KINDS


def test_without_validation_boxes_answer_what_they_decide_exactly() -> None:
    never_asked = read_confidence(None)
    assert never_asked == Confidence()
    assert not never_asked.is_measured
    assert never_asked.falls_back("count")
    assert not never_asked.falls_back("presence")


def test_with_validation_whoever_was_right_more_often_answers(tmp_path: Path) -> None:
    kinds = {"count": KindScore(num=10, model=9, rules=4), "presence": KindScore(num=10, model=4, rules=9)}
    kinds["half"] = KindScore(num=3, model=3, rules=0)
    (tmp_path / FILE).write_text(Confidence(threshold=0.4, num=40, kinds=kinds).model_dump_json())
    found = read_confidence(tmp_path)
    assert found.threshold == 0.4
    assert found.is_measured
    assert [kind for kind in ("count", "presence", "half") if found.falls_back(kind)] == ["presence", "half"]
    assert "of 10 validation questions" in found.why_rules("presence")
    (tmp_path / FILE).write_text(json.dumps({"threshold": 7}))
    with pytest.raises(BadInput):
        read_confidence(tmp_path)


def test_kinds_are_counted_and_questions_without_one_left_out() -> None:
    scores = kind_scores(["count", "", "count"], [True, True, False], [True, True, True])
    assert scores == {"count": KindScore(num=2, model=1, rules=2)}
