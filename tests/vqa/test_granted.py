"""What questions take to be there, by the words of every kind of derived question and of the phantoms'."""

import pytest

from medglip.vqa.derived.wordings import WORDINGS, question_text
from medglip.vqa.granted import granted_in

ASKS = {
    "phrase": "liver",
    "first": "liver",
    "second": "spleen",
    "side": "left",
    "place": "upper left",
    "choices": ["liver", "spleen", "cyst"],
    "modality": "CT",
}
MEASURE = ("side", "size", "position", "relation")


@pytest.mark.parametrize("form", [form for form in WORDINGS if form != "caption"])
def test_derived_questions_for_place_and_size_take_their_phrases_for_granted_and_no_others_do(form: str) -> None:
    named = ["liver", "spleen"] if form.startswith("relation") else ["liver"]
    for wording in range(len(WORDINGS[form])):
        question = question_text(form, wording, ASKS)
        assert sorted(granted_in(question)) == (named if form.startswith(MEASURE) else []), question


@pytest.mark.parametrize(
    ("question", "granted"),
    [
        ("Is the calcification in the right half of the image?", ("calcification",)),
        ("Is the margin of the nodule smooth or spiculated?", ("nodule",)),
        ("Where are nodules?", ("nodule",)),
        ("Is there a cyst in the right kidney?", ("right kidney",)),
        ("Is the liver visible in this image?", ()),
        ("How many nodules are there?", ()),
        ("Count the nodules.", ()),
        ("Which finding is there in the image?", ()),
        ("What is this?", ()),
    ],
)
def test_granted_is_what_stands_behind_the_or_is_measured(question: str, granted: tuple[str, ...]) -> None:
    assert granted_in(question) == granted
