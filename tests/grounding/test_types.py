"""Types refuse what would corrupt in silence."""

from typing import Any

import numpy as np
import pytest

from medglip.grounding import MODALITIES, BadInput, Region, parse_modality
from medglip.grounding.types import region_from_json, region_to_json


@pytest.mark.parametrize("box", [[0, 0, np.nan, 1], [0, 0, 0, 1], [3, 0, 1, 1], [0, 0, 1], [0, 0, np.inf, 1]])
def test_a_region_without_a_real_box_is_refused(box: list[float]) -> None:
    with pytest.raises(BadInput, match="cyst"):
        Region(phrase="cyst", box_xyxy_px=np.array(box, np.float32))


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_scores_lie_between_zero_and_one(score: float) -> None:
    with pytest.raises(BadInput, match="score"):
        Region(phrase="cyst", box_xyxy_px=np.array([0, 0, 1, 1], np.float32), score=score)


@pytest.mark.parametrize("z", [(-0.1, 0.5), (0.6, 0.5), (0.5, 1.1), (0.2, float("nan"))])
def test_slices_are_parts_of_the_volume_in_order(z: tuple[float, float]) -> None:
    with pytest.raises(BadInput, match="slices"):
        Region(phrase="cyst", box_xyxy_px=np.array([0, 0, 1, 1], np.float32), z=z)


def test_pooled_features_are_finite_vectors() -> None:
    with pytest.raises(BadInput, match="pooled"):
        Region(phrase="cyst", box_xyxy_px=np.array([0, 0, 1, 1], np.float32), pooled=(np.array([np.nan], np.float32),))


def test_json_holds_slices_only_where_there_are_any_and_never_features() -> None:
    box, pooled = np.array([0, 0, 1, 1], np.float32), (np.zeros(3, np.float32),)
    assert not {"z", "pooled"} & set(region_to_json(Region(phrase="cyst", box_xyxy_px=box, pooled=pooled)))
    row = region_to_json(Region(phrase="cyst", box_xyxy_px=box, z=(0.25, 0.5)))
    assert region_from_json(row).z == (0.25, 0.5)


def test_region_json_round_trip() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2:4] = True
    region = Region(
        phrase="cyst", box_xyxy_px=np.array([2, 1, 4, 3], np.float32), mask=mask, score=0.5, path=("liver", "cyst")
    )
    back = region_from_json(region_to_json(region))
    assert region_to_json(back) == region_to_json(region)
    assert back.mask is not None
    np.testing.assert_array_equal(back.mask, mask)


@pytest.mark.parametrize("word", ["MRI", "X-ray", "", None, "colonoscopy", "Histopathology", *MODALITIES])
def test_known_modalities_are_parsed(word: str | None) -> None:
    assert parse_modality(word) in MODALITIES


def test_an_unknown_modality_names_the_nearest() -> None:
    with pytest.raises(BadInput, match="ultrasound"):
        parse_modality("ultrasond")


@pytest.mark.parametrize("odd", [{"phrase": 7}, {"phrase": None}, {"path": ["liver", 3]}])
def test_names_of_a_region_are_texts(odd: dict[str, Any]) -> None:
    row = {"phrase": "cyst", "box_xyxy_px": [0, 0, 1, 1], "path": []}
    with pytest.raises(BadInput, match="give texts"):
        region_from_json(row | odd)
