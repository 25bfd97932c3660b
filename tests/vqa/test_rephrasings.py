"""Rephrasings ask the same: by the wordings of a form, else by frames around the question."""

import re

import pytest

from medglip.vqa.derived.wordings import WORDINGS, question_text
from medglip.vqa.rephrasings import NUM, rephrasings

FIELDS = {name for wordings in WORDINGS.values() for text in wordings for name in re.findall(r"{(\w+)}", text)}
ASKS = {name: f"liver {name}" for name in FIELDS - {"choices"}} | {"choices": ["liver", "spleen", "lung"]}


@pytest.mark.parametrize("form", WORDINGS)
def test_a_derived_question_is_asked_in_the_other_wordings_of_its_form(form: str) -> None:
    wordings = [question_text(form, number, ASKS) for number in range(len(WORDINGS[form]))]
    for question in wordings:
        texts = rephrasings(question)
        assert len(set(texts)) == NUM
        assert question not in texts
        assert set(texts) <= set(wordings) or any(question in text for text in texts)


def test_fields_are_carried_over() -> None:
    texts = rephrasings("Is there a pneumothorax in the image?")
    assert texts == [
        "Does the image show a pneumothorax?",
        "Can a pneumothorax be seen here?",
        "Do you see a pneumothorax in this picture?",
    ]


@pytest.mark.parametrize("question", ["Is the trachea visible?", "Where is the mass?", "What {odd} thing is 100%?"])
def test_any_other_question_stays_whole_in_its_frames(question: str) -> None:
    texts = rephrasings(question)
    assert len(set(texts)) == NUM
    assert all(question in text for text in texts)
