"""Whose left and right an adapter's texts mean follows from what taught it."""

import pytest

from medglip.vqa.publish.adapter_card import LearnedSet, taught_frame


@pytest.mark.parametrize(
    ("sets", "frame"),
    [
        ([], "image"),
        ([("phantom", "questions")], "image"),
        ([("vqa_rad", "questions")], "patient"),
        ([("vqa_rad", "questions"), ("kvasir", "questions and captions derived from regions")], "image"),
        ([("iu_xray", "reports")], "image"),  # no question taught it
    ],
)
def test_clinicians_alone_teach_the_patients_side(sets: list[tuple[str, str]], frame: str) -> None:
    facts = [LearnedSet(name=name, licence="", what=what, items=1, images=1) for name, what in sets]
    assert taught_frame(facts, "vqa") == frame
