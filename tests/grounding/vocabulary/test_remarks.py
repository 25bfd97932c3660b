"""What a report says of places and of its modality, against regions and against what was told."""

from functools import partial

import numpy as np
import pytest

from medglip.grounding.modalities import MODALITIES
from medglip.grounding.types import Region
from medglip.grounding.vocabulary.labels import load_labels
from medglip.grounding.vocabulary.remarks import correct_title, find_misplaced, named_modality, other_modalities


@pytest.mark.parametrize(
    ("text", "told", "corrected", "was"),
    [
        ("MRI image of the abdomen. The liver.", "ct", "CT image of the abdomen. The liver.", "MRI image"),
        ("Dermoscopy image. A lesion.", "mr", "MRI image. A lesion.", "Dermoscopy image"),
        ("This is a CT image of the chest.", "xray", "This is an X-ray image of the chest.", "CT image"),
        ("This is an X-ray image.", "ct", "This is a CT image.", "X-ray image"),
        ("Chest radiograph. Clear.", "ct", "Chest CT image. Clear.", "radiograph"),
        ("CT image of the abdomen.", "ct", "CT image of the abdomen.", ""),
        ("MRI image of the abdomen.", "unknown", "MRI image of the abdomen.", ""),
        ("X-ray image of the breast.", "mammography", "X-ray image of the breast.", ""),  # it looks like one
        ("The liver. MRI image.", "ct", "The liver. MRI image.", ""),
        ("Electron microscopy image.", "em", "Electron microscopy image.", ""),
        ("", "ct", "", ""),
    ],
)
def test_a_title_never_contradicts_the_modality_that_was_told(text: str, told: str, corrected: str, was: str) -> None:
    assert correct_title(text, told) == (corrected, was)


@pytest.mark.parametrize("name", [name for name in MODALITIES if name != "unknown"])
def test_every_modality_is_known_by_its_words(name: str) -> None:
    found = named_modality(f"{MODALITIES[name].image_words} of the body.")
    assert found is not None
    assert found[0] == name


def test_a_sentence_that_names_another_modality_is_remarked() -> None:
    texts = ["A nodule on this MRI image.", "Compared with the prior MRI image.", "A CT image."]
    (remark,) = other_modalities(texts, "ct", "the file or user told")
    assert (remark.sentence, remark.words) == (0, "says “MRI image”; the file or user told CT")


def region(phrase: str, *box: float, score: float = 0.9) -> Region:
    return Region(phrase=phrase, box_xyxy_px=np.array(box, np.float32), score=score)


def test_a_place_where_no_region_lies_is_remarked() -> None:
    nodule = region("nodule", 10, 10, 20, 20)
    said = ["A nodule in the upper left.", "A nodule in the centre.", "A nodule on the right.", "No nodule, right."]
    remarks = find_misplaced(said, [nodule], load_labels(), (100, 100))
    assert [remark.sentence for remark in remarks] == [1, 2]
    assert remarks[1].words == "puts “nodule” in the right part of the image; its region lies in the upper left"
    spread = [region("nodule", *box) for box in [(45, 45, 55, 55), (10, 80, 20, 90), (45, 80, 55, 90)]]
    (remark,) = find_misplaced(["A nodule in the upper part."], spread, load_labels(), (100, 100))
    places = "in the upper part of the image; its regions lie in the centre, lower left and lower part"
    assert remark.words == f"puts “nodule” {places}"
    assert find_misplaced(said, [], load_labels(), (100, 100)) == []
    assert find_misplaced(said, [region("nodule", 80, 10, 90, 20, score=0.1)], load_labels(), (100, 100)) == []
    # "left lung" is a name, also of several: its side is no place
    names, lung = ["The left lung is seen.", "Several left lungs are seen."], region("left lung", 80, 0, 99, 99)
    assert find_misplaced(names, [lung], load_labels(), (100, 100)) == []


def test_a_bare_side_of_the_patient_is_the_other_side_of_the_image() -> None:
    nodule = region("nodule", 10, 10, 20, 20)
    find = partial(find_misplaced, is_patient_side=True)
    assert find(["A nodule on the right."], [nodule], load_labels(), (100, 100)) == []
    assert len(find(["A nodule on the left."], [nodule], load_labels(), (100, 100))) == 1
