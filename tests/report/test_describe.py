from pathlib import Path

import numpy as np
import pytest
from making import make_image
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.evidence.render import to_images, to_text
from medglip.grounding.types import Region
from medglip.grounding.vocabulary.sentences import Sentence
from medglip.report.describe import (
    INSTRUCTION,
    NOT_BACKED,
    NOT_DESCRIBED,
    is_about,
    is_whole,
    name_region,
    parse_box,
    show_region,
    tell,
    to_example,
    what_is_there,
)
from medglip.vqa.prompt.prompt import instruction_text

STUDY = make_image("s", image_path=Path("a.png"), group="g", dataset="d", size_px=(100, 80))


def test_a_box_is_four_numbers_cut_at_the_edge() -> None:
    assert parse_box("10, 20,30,200", (100, 80)).box_xyxy_px.tolist() == [10, 20, 30, 80]


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "1,2,3,4,5", "30,30,10,10", "nan,0,1,1", "200,0,300,10"])
def test_other_boxes_are_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        parse_box(text, (100, 80))


def test_the_prompt_holds_the_box_in_words_and_its_crop_whatever_the_settings_show() -> None:
    marked = parse_box("10,20,30,40", STUDY.size_px)
    settings = show_region(EvidenceSettings(forms=("tokens",), min_score=0.9))
    example = to_example(STUDY, marked)
    assert set(settings.forms) == {"tokens", "text", "crops"}
    assert instruction_text(example, settings).endswith(INSTRUCTION)
    assert "marked region" in to_text(example.evidence, settings)
    (crop,) = to_images([Image.new("RGB", STUDY.size_px)], example.evidence, settings)
    assert crop.width < STUDY.size_px[0]


def test_it_is_called_by_the_best_region_at_the_same_place_and_keeps_its_own_box() -> None:
    marked = parse_box("10,20,30,40", STUDY.size_px)
    near, better, far = (
        Region(phrase=phrase, box_xyxy_px=np.array(box, np.float32), score=score)
        for phrase, box, score in [
            ("cyst", [10, 20, 30, 39], 0.4),
            ("nodule", [11, 20, 30, 40], 0.7),
            ("heart", [50, 0, 90, 40], 0.9),
        ]
    )
    named_region = name_region(marked, [near, far, better])
    assert (named_region.phrase, named_region.score) == ("nodule", 0.7)
    assert (named_region.box_xyxy_px == marked.box_xyxy_px).all()
    assert name_region(marked, [far]) is marked


def test_what_boxes_alone_say_of_the_marked_one() -> None:
    marked = parse_box("10,10,20,20", STUDY.size_px)
    lung = Region(phrase="left lung", box_xyxy_px=np.array([5, 5, 40, 60], np.float32), score=0.92)
    nodule = Region(phrase="nodule", box_xyxy_px=np.array([10, 10, 20, 21], np.float32), score=0.78)
    assert what_is_there(name_region(marked, [lung, nodule]), [lung, nodule], STUDY.size_px) == (
        "Region 1 lies at the upper left of the image, inside what was found as left lung (0.92): "
        "nodule was found there (0.78)."
    )
    assert what_is_there(marked, [], STUDY.size_px).endswith("nothing that this core knows was found as this box.")
    assert is_whole("10,10,20,20", marked)
    assert not is_whole("10,10,5000,6000", parse_box("10,10,5000,6000", STUDY.size_px))


def test_sentences_on_the_whole_image_are_not_about_the_box() -> None:
    marked = name_region(parse_box("1,1,9,9", STUDY.size_px), [])
    assert is_about("Round and bright.", marked)
    assert not is_about("X-ray image of the chest.", marked)
    assert not is_about("The left lung is seen.", marked)
    nodule = Region(phrase="nodule", box_xyxy_px=marked.box_xyxy_px, score=0.8)
    assert is_about("A nodule is seen.", name_region(marked, [nodule]))


@pytest.mark.parametrize(
    ("phrase", "written", "told", "remarked"),
    [
        ("marked region", "The hemothema is seen.", NOT_BACKED, []),
        ("nodule", "The hemothema is seen.", "The hemothema is seen.", [1]),
        ("nodule", "A nodule is seen.", "A nodule is seen.", []),
        ("nodule", "The heart is seen.", NOT_DESCRIBED, []),
    ],
)
def test_words_that_nothing_found_backs_are_left_out_or_remarked(
    phrase: str, written: str, told: str, remarked: list[int]
) -> None:
    marked = Region(phrase=phrase, box_xyxy_px=np.array([1, 1, 9, 9], np.float32))
    (_, last), remarks = tell("Region 1 lies there.", marked, [Sentence(text=written)])
    assert last.text == told
    assert last.regions == (() if told in (NOT_BACKED, NOT_DESCRIBED) else (marked,)), "a failure cites nothing"
    assert [remark.sentence for remark in remarks] == remarked
