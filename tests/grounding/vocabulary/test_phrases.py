"""Descriptions beside phrases, and flips that keep their word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medglip.grounding.vocabulary.labels import load_labels
from medglip.grounding.vocabulary.phrases import has_side, mirror, with_description

WORDS = ["left", "Right", "LEFT", "lt.", "Rt", "LLL", "rul", "L", "R", "ventricle", "lung", "-", ".", "_", "bilateral"]


def test_descriptions_follow_the_phrase_as_written() -> None:
    tree = load_labels()
    assert with_description("Polyps", tree) == f"Polyps: {tree.description('polyp')}"
    assert with_description("flux capacitor", tree) == "flux capacitor"
    assert with_description("", tree) == ""


@pytest.mark.parametrize(
    ("phrase", "flipped"),
    [
        ("left lung", "right lung"),
        ("Right-sided pleural effusion", "Left-sided pleural effusion"),
        ("LEFT and RIGHT", "RIGHT and LEFT"),
        ("opacity at the lt. base", "opacity at the rt. base"),
        ("Rt kidney", "Lt kidney"),
        ("LLL consolidation", "RLL consolidation"),
        ("R hemidiaphragm", "L hemidiaphragm"),
        ("kidney_left", "kidney_right"),
        ("leftmost vertebra", "rightmost vertebra"),
        ("left lateral ventricle", "right lateral ventricle"),
    ],
)
def test_sides_are_swapped(phrase: str, flipped: str) -> None:
    assert mirror(phrase) == flipped != phrase
    assert has_side(phrase)


@pytest.mark.parametrize(
    "phrase",
    [
        *(
            "bilateral effusions",
            "upright",
            "leftover",
            "dextral",
            "L2 vertebra",
            "T1 MRI",
            "fright",
            "polyp",
            "",
            "art",
        ),
        *(
            "left ventricle",
            "left ventricular myocardium",
            "right atrium",
            "left hepatic lobe",
            "right lobe of the liver",
        ),
    ],
)
def test_words_without_a_side_and_shapes_named_by_one_stay(phrase: str) -> None:
    assert mirror(phrase) == phrase
    assert not has_side(phrase)


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join))
def test_mirror_is_an_involution_and_changes_what_has_a_side(phrase: str) -> None:
    flipped = mirror(phrase)
    assert mirror(flipped) == phrase
    assert (flipped != phrase) == has_side(phrase)


def test_labels_of_either_side_are_mirror_images() -> None:
    tree = load_labels()
    for label in tree.labels:
        flipped = mirror(label)
        # the left lung has no middle lobe, which is what the right mid lung zone is
        if flipped != label and label not in ("right middle lobe", "left mid lung zone"):
            assert tree.label(flipped) == flipped in tree.siblings(label)
