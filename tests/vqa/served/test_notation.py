"""A served model is written boxes as it knows them, and boxes in its text come back in pixels."""

from pathlib import Path

import numpy as np
import pytest

from medglip.grounding.bad_input import BadInput
from medglip.grounding.vocabulary.box_notation import NO_BOX, PERCENT
from medglip.grounding.vocabulary.box_reading import read_boxes
from medglip.vqa.families import FAMILIES
from medglip.vqa.served.notation import GEMINI, notation_of

BOX, SIZE = np.array([24.0, 40.0, 62.0, 88.0], np.float32), (200, 400)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", "[24, 40, 62, 88]"),
        ("qwen2.5vl:7b", "[24, 40, 62, 88]"),
        ("Qwen/Qwen3-VL-4B-Instruct", "[120, 100, 310, 220]"),
        ("OpenGVLab/InternVL3-8B", "<box>[[120, 100, 310, 220]]</box>"),
        ("google/paligemma2-3b-mix-224", "<loc0102><loc0122><loc0225><loc0317>"),
        ("llava-hf/llava-onevision-qwen2-7b-ov-hf", "[0.12, 0.10, 0.31, 0.22]"),
        ("gemini-2.5-pro", "[100, 120, 220, 310]"),
        ("gpt-4o", "12 10 31 22"),
        ("google/medgemma-4b-it", "12 10 31 22"),
    ],
)
def test_the_name_of_a_model_tells_its_notation(model: str, text: str) -> None:
    assert notation_of(model).box_text(BOX, SIZE) == text


@pytest.mark.parametrize(
    ("boxes", "text"),
    [
        ("percent", "12 10 31 22"),
        ("pixels", "[24, 40, 62, 88]"),
        ("unit", "[0.12, 0.10, 0.31, 0.22]"),
        ("0-1000", "[120, 100, 310, 220]"),
        ("loc", "<loc0102><loc0122><loc0225><loc0317>"),
        ("none", ""),
        ("Qwen2-VL", "(120,100),(310,220)"),
        ("internvl", "<box>[[120, 100, 310, 220]]</box>"),
    ],
)
def test_boxes_says_it_where_the_name_does_not(boxes: str, text: str) -> None:
    assert notation_of("my-finetune", boxes).box_text(BOX, SIZE) == text
    assert notation_of("Qwen/Qwen3-VL-4B", boxes).box_text(BOX, SIZE) == text


def test_an_unknown_notation_is_named() -> None:
    with pytest.raises(BadInput, match="did you mean 'percent'"):
        notation_of("m", "percents")


def test_pixels_of_a_padded_picture_are_those_that_are_sent(tiny_base: Path) -> None:
    """The tiny tower sees 64 pixels: of 200 x 400 one pixel in 6.25."""
    known = notation_of(str(tiny_base))
    assert known.letterbox_px == 64
    assert known.box_text(BOX, SIZE) == "12 10 31 22"
    assert notation_of(str(tiny_base), "pixels").box_text(BOX, SIZE) == "[4, 6, 10, 14]"
    assert notation_of("my-lora", None, str(tiny_base)).letterbox_px == 64


@pytest.mark.parametrize("family", [*FAMILIES, GEMINI], ids=lambda family: family.name)
def test_every_notation_is_read_back(family: object) -> None:
    codec = family.boxes  # pyright: ignore[reportAttributeAccessIssue]
    (found,) = read_boxes(f"There is a nodule {codec.encode(BOX, SIZE)}.", codec, SIZE)
    assert found.label == "There is a nodule"
    assert np.abs(found.box_xyxy_px - BOX).max() <= 4.1  # a step of percent is 4 px here


def test_json_is_read_as_models_write_it() -> None:
    thousandths = notation_of("Qwen3-VL").family.boxes
    text = '```json\n[{"bbox_2d": [120, 100, 310, 220], "label": "nodule"},\n {"bbox_2d": [0, 0, 500, 500], "lab'
    (cut,) = read_boxes(text, thousandths, SIZE)  # the second was cut
    assert (cut.label, cut.box_xyxy_px.round().tolist()) == ("nodule", [24, 40, 62, 88])
    y_first = '{"box_2d": [100, 120, 220, 310], "label": "nodule"}'
    for codec in (thousandths, PERCENT, NO_BOX, GEMINI.boxes):
        (found,) = read_boxes(y_first, codec, SIZE)
        assert found.box_xyxy_px.round().tolist() == [24, 40, 62, 88]
    assert read_boxes('[{"bbox_2d": [300, 100, 200, 220]}, {"bbox_2d": [1, 2]}]', thousandths, SIZE) == []
    assert read_boxes("no box, 2 nodules", thousandths, SIZE) == []


def test_several_in_one_text_keep_their_words() -> None:
    text = "left lung <box>[[0, 0, 500, 1000]]</box> and the heart <box>[[400, 500, 700, 900]]</box>"
    found = read_boxes(text, notation_of("internvl3").family.boxes, (100, 100))
    assert [one.label for one in found] == ["left lung", "and the heart"]
