"""Left and right name whose they are, and are turned into the other frame only where it is known how the image lies."""

import pytest

from medglip.grounding.vocabulary.places import LOCATION, name_sides, read_location

NAMED = [
    ("Right", "The image's right"),
    ("upper right", "upper right of the image"),
    ("A nodule on the left.", "A nodule on the image's left."),
    ("A nodule in the upper left [1].", "A nodule in the upper left of the image [1]."),
    ("The liver lies in the left part.", "The liver lies in the left part of the image."),
    ("On the left and on the right.", "On the image's left and on the image's right."),
    ("The left lung is clear.", "The left lung is clear."),
    ("The left heart border, right ventricle.", "The left heart border, right ventricle."),
    ("upper left of the image", "upper left of the image"),
    ("On the patient's left.", "On the patient's left."),
    ("the image's left half", "the image's left half"),
    ("upper", "upper"),
    ("yes", "yes"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "named"), NAMED)
def test_a_bare_side_gets_its_frame(text: str, named: str) -> None:
    assert name_sides(text, "image") == named
    assert name_sides(named, "image") == named
    assert name_sides(text, "image", "patient") == named, "how the image lies is not known"


@pytest.mark.parametrize(
    ("text", "of_patient"),
    [
        ("Right", "The patient's left"),
        ("upper right of the image", "the patient's upper left"),
        ("A nodule in the left part.", "A nodule in the patient's right part."),
        ("the image's left half", "the patient's right half"),
        ("On the patient's left.", "On the patient's left."),
        ("The left lung is clear.", "The left lung is clear."),
    ],
)
def test_the_patient_s_side_is_the_other_one_in_a_frontal_view(text: str, of_patient: str) -> None:
    assert name_sides(text, "image", "patient", patient_left="right") == of_patient


def test_where_the_patient_s_left_is_seen_at_the_left_the_word_stays() -> None:
    assert name_sides("upper right", "image", "patient", patient_left="left") == "the patient's upper right"
    assert name_sides("Right", "patient", "image", patient_left="right") == "The image's left"
    assert name_sides("Right", "patient") == "The patient's right"


@pytest.mark.parametrize("text", ["upper right", "in the left part", "on the right", "the patient's left"])
def test_both_frames_mean_the_same_place_of_the_image(text: str) -> None:
    def place(words: str) -> list[set[str]]:
        return [read_location(match) for match in LOCATION.finditer(words)]

    assert place(name_sides(text, "image", "patient", patient_left="right")) == place(text)
