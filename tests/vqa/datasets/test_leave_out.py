"""One combination of modality, part of the body and task is tested and never learned."""

import pytest
from making import make_image

from medglip.grounding.bad_input import BadInput
from medglip.vqa.datasets.derived import combination_of, leave_out
from medglip.vqa.task import Question


def ask(modality: str, phrase: str, kind: str, split: str) -> Question:
    name = f"{modality}-{phrase}-{kind}-{split}"
    image = make_image(name, modality=modality, split=split, phrases=(phrase,))
    return Question(
        question_id=name,
        image=image,
        question="?",
        answer="yes",
        answer_type="closed",
        phrases=(phrase,),
        content_type=kind,
    )


QUESTIONS = [
    ask(modality, phrase, kind, split)
    for modality in ("ct", "mr")
    for phrase in ("liver", "left lung")
    for kind in ("size-word", "count")
    for split in ("train", "val", "test")
]
LEFT_OUT = combination_of(ask("ct", "liver", "size-word", "test"))


def test_test_is_the_combination_and_nothing_else_is() -> None:
    assert LEFT_OUT == "ct/abdomen/size"
    kept = leave_out(QUESTIONS, LEFT_OUT)
    assert [q.question_id for q in kept if q.image.split == "test"] == ["ct-liver-size-word-test"]
    learned = [q for q in kept if q.image.split != "test"]
    assert len(learned) == 2 * (8 - 1)
    assert LEFT_OUT not in {combination_of(q) for q in learned}


def test_what_cannot_be_left_out_is_refused() -> None:
    with pytest.raises(BadInput, match=r"no test question of 'pet/abdomen/size'.*mr/abdomen/count"):
        leave_out(QUESTIONS, "pet/abdomen/size")
    only = [q for q in QUESTIONS if q.image.modality == "mr" or combination_of(q) == LEFT_OUT]
    with pytest.raises(BadInput, match="no training question is of 'ct'"):
        leave_out(only, LEFT_OUT)
