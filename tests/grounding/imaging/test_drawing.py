"""Regions drawn for people: labels stay inside, off each other, and tell two of a phrase apart."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from medglip.grounding.imaging import drawing
from medglip.grounding.imaging.drawing import Plate, draw_regions, tell_apart
from medglip.grounding.types import Region


def region(phrase: str, *box: float, mask: np.ndarray | None = None) -> Region:
    return Region(phrase=phrase, box_xyxy_px=np.array(box, np.float32), score=0.5, mask=mask)


@pytest.fixture
def plates(monkeypatch: pytest.MonkeyPatch) -> list[Plate]:
    """Where labels were put."""
    kept, place = list[Plate](), drawing._place

    def keep(*words: object) -> Plate:
        kept.append(place(*words))  # pyright: ignore[reportArgumentType]
        return kept[-1]

    monkeypatch.setattr(drawing, "_place", keep)
    return kept


def test_labels_are_inside_the_image_and_not_on_each_other(plates: list[Plate]) -> None:
    regions = [region("left lung", 0, 0, 30, 40), region("left lung", 0, 0, 30, 40), region("heart", 70, 0, 96, 90)]
    regions += [region("nodule", 90, 90, 96, 96), region("opacity", 1, 2, 28, 38)]
    colours, names = tell_apart(regions)
    drawn = draw_regions(Image.new("L", (96, 96)), regions, colours, names, min_side=640)
    assert drawn.size == (672, 672)
    assert all(0 <= x0 < x1 <= 672 and 0 <= y0 < y1 <= 672 for x0, y0, x1, y1 in plates)
    assert not [pair for pair in combinations(plates, 2) if drawing._meet(*pair)]


def test_two_of_a_phrase_have_numbers_and_colours_of_their_own() -> None:
    colours, names = tell_apart(
        [region("kidney", 0, 0, 9, 9), region("liver", 0, 0, 9, 9), region("kidney", 9, 0, 18, 9)]
    )
    assert names == ["kidney 1", "liver", "kidney 2"]
    assert len(set(colours)) == 3


def test_an_enlarged_mask_lies_where_its_pixels_are() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4, 4:6] = True
    drawn = np.asarray(
        draw_regions(Image.new("RGB", (8, 8)), [region("x", 4, 2, 6, 4, mask=mask)], ["#ff0000"], [""], min_side=80)
    )
    red = drawn[..., 0] > 60
    assert red[25, 45]
    assert not red[25, 75]
    large = draw_regions(Image.new("RGB", (700, 5)), [], [], [], min_side=640)
    assert large.size == (700, 5)
