import numpy as np
import pytest

from medglip.grounding.types import Region
from medglip.grounding.vocabulary.labels import load_labels
from medglip.grounding.vocabulary.sentences import ground_sentences, split_sentences

SIZE = (300, 300)


def region(phrase: str, column: int, row: int, score: float = 0.9) -> Region:
    """A region in one cell of the 3 x 3 grid."""
    x, y = 100 * column + 20, 100 * row + 20
    return Region(phrase=phrase, box_xyxy_px=np.array([x, y, x + 60, y + 60], np.float32), score=score)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("The lungs are clear. No effusion.", ["The lungs are clear.", "No effusion."]),
        ("A nodule of approx. 3.5 cm, e.g. a cyst. Stable.", ["A nodule of approx. 3.5 cm, e.g. a cyst.", "Stable."]),
        ("Seen by Dr. Smith. Unchanged vs. prior.", ["Seen by Dr. Smith.", "Unchanged vs. prior."]),
        ("1. Opacity. 2. No effusion.", ["1. Opacity.", "2. No effusion."]),
        ("Reported by J. Smith.", ["Reported by J. Smith."]),
        ("clear lungs . no effusion .", ["clear lungs .", "no effusion ."]),
        ("Is it new? No. See no. 3.", ["Is it new?", "No.", "See no. 3."]),
        ("Lungs clear.No effusion", ["Lungs clear.", "No effusion"]),
        (
            "Wrapped\nline of text.\n\nHeading\n- Opacity\n- Effusion",
            ["Wrapped line of text.", "Heading", "Opacity", "Effusion"],
        ),
        ("CT scan ? axial view of GGOs.", ["CT scan ? axial view of GGOs."]),
        ("", []),
        (" \n ... ", []),
    ],
)
def test_sentences_end_where_they_end(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@pytest.mark.parametrize("text", ["A b. C d? E. 1. F", "One.Two  three.\n\nFour!", "no end"])
def test_splitting_loses_no_word_and_is_stable(text: str) -> None:
    joined = " ".join(split_sentences(text))
    assert joined.replace(" ", "") == "".join(text.split())
    assert " ".join(split_sentences(joined)) == joined


def test_sentences_get_the_regions_they_affirm_and_join_to_the_text() -> None:
    regions = [region("opacity", 0, 2), region("pleural effusion", 2, 2), region("heart", 1, 1, score=0.1)]
    text = "There is an airspace opacity. No pleural effusion. The heart is enlarged. Thank you."
    sentences = ground_sentences(text, regions, load_labels(), SIZE)
    assert [sentence.regions for sentence in sentences] == [(regions[0],), (), (), ()]
    assert [sentence.is_negated for sentence in sentences] == [False, True, False, False]
    assert " ".join(sentence.text for sentence in sentences) == text


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("A nodule in the upper left.", [(0, 0)]),
        ("A nodule at the lower right, calcified.", [(2, 2)]),
        ("Nodules on the left.", [(0, 0)]),
        ("Two nodules.", [(0, 0), (2, 2)]),
        ("A nodule in the centre.", [(0, 0), (2, 2)]),
        ("A nodule, upper left.", [(0, 0)]),
        ("Two nodules are seen, the larger one in the upper left.", [(0, 0), (2, 2)]),
        ("A nodule in the upper left and a nodule in the lower right.", [(0, 0), (2, 2)]),
        ("A nodule in the upper left and an effusion in the lower right.", [(0, 0)]),
        ("A nodule at the border of the left lung.", [(0, 0), (2, 2)]),
    ],
)
def test_place_words_pick_among_regions_of_a_phrase(text: str, cells: list[tuple[int, int]]) -> None:
    regions = [region("nodule", 0, 0), region("nodule", 2, 2)]
    (sentence,) = ground_sentences(text, regions, load_labels(), SIZE)
    chosen = [tuple(int(value // 100) for value in r.box_xyxy_px[:2]) for r in sentence.regions]
    assert chosen == cells


def test_patient_side_mirrors_left_and_right() -> None:
    regions = [region("nodule", 0, 0), region("nodule", 2, 0)]
    text = "A nodule on the left."
    (as_image,) = ground_sentences(text, regions, load_labels(), SIZE)
    (as_patient,) = ground_sentences(text, regions, load_labels(), SIZE, is_patient_side=True)
    assert (as_image.regions, as_patient.regions) == ((regions[0],), (regions[1],))


@pytest.mark.parametrize(
    ("words", "cell"),
    [
        ("in the upper left part of the image", (0, 0)),
        ("in the upper left of the image", (0, 0)),
        ("in the upper left", (0, 0)),
        ("in the image's left half", (0, 0)),
        ("on the image’s left", (0, 0)),
        ("on the left side of the picture", (0, 0)),
        ("on the patient's left", (2, 0)),
        ("on the patient’s right side", (0, 0)),
        ("on the right side of the patient", (0, 0)),
        ("in the right half of the image", (2, 0)),
    ],
)
def test_a_location_is_read_in_the_frame_that_it_names(words: str, cell: tuple[int, int]) -> None:
    """Old wordings without a frame are the image's; whose side is meant by those alone changes no other."""
    regions = [region("nodule", 0, 0), region("nodule", 2, 0)]
    text = f"There is a nodule {words}."
    (sentence,) = ground_sentences(text, regions, load_labels(), SIZE)
    assert sentence.regions == (regions[cell[0] // 2],)
    if "image" in words or "picture" in words or "patient" in words:
        (same,) = ground_sentences(text, regions, load_labels(), SIZE, is_patient_side=True)
        assert same.regions == sentence.regions


def test_order_of_regions_changes_nothing_but_their_order() -> None:
    regions = [region("nodule", 0, 0), region("nodule", 2, 2), region("heart", 1, 1)]
    text = "A nodule over the heart."
    (forth,) = ground_sentences(text, regions, load_labels(), SIZE)
    (back,) = ground_sentences(text, regions[::-1], load_labels(), SIZE)
    assert set(map(id, forth.regions)) == set(map(id, back.regions))
    assert len(forth.regions) == 3
