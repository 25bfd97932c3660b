"""Boxes, masks and the letterbox: every transform has its inverse."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.geometry import Letterbox, clip_box, iou, mask_to_box, mask_to_rle, rle_to_mask, xywh_to_xyxy

sizes = st.tuples(st.integers(2, 3000), st.integers(2, 3000))
fractions = st.tuples(*[st.floats(0, 1, width=32)] * 4)


@given(size=sizes, box=fractions, side=st.sampled_from([32, 192, 224, 512]))
def test_letterbox_inverse_undoes_forward(size: tuple[int, int], box: tuple[float, ...], side: int) -> None:
    letterbox = Letterbox(size, side)
    box_px = np.array(box, np.float32) * np.tile(np.array(size, np.float32), 2)
    forward = letterbox.forward(box_px)
    assert (forward <= side * (1 + 1e-5)).all()
    np.testing.assert_allclose(letterbox.inverse(forward), box_px, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (97, 61), (33, 33)])
def test_masks_follow_boxes_through_the_letterbox(size: tuple[int, int]) -> None:
    width, height = size
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    letterbox = Letterbox(size, 192)
    back = letterbox.inverse_map(letterbox.mask(mask).astype(np.float32)) > 0.5
    assert (back & mask).sum() / (back | mask).sum() > 0.85
    assert letterbox.image(Image.new("L", size)).size == (192, 192)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_rle_round_trip(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) > 0.5
    np.testing.assert_array_equal(rle_to_mask(mask_to_rle(mask)), mask)


def test_rle_of_another_size_is_refused() -> None:
    with pytest.raises(BadInput, match="RLE"):
        rle_to_mask({"size": [2, 2], "counts": [3]})


def test_iou_is_one_with_itself_and_zero_apart() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    table = iou(boxes, boxes)
    np.testing.assert_allclose(np.diag(table), 1)
    assert table[0, 1] == pytest.approx(1 / 3)
    assert table[0, 2] == 0


@pytest.mark.parametrize("box", [[np.nan, 0, 1, 1], [5, 5, 5, 9], [200, 200, 300, 300], [9, 0, 3, 4]])
def test_boxes_that_are_none_are_refused(box: list[float]) -> None:
    with pytest.raises(BadInput):
        clip_box(np.array(box, np.float32), (100, 100))


def test_boxes_are_clipped_to_the_image() -> None:
    np.testing.assert_array_equal(clip_box(np.array([-5, 2, 50, 500], np.float32), (40, 30)), [0, 2, 40, 30])
    np.testing.assert_array_equal(xywh_to_xyxy([1, 2, 3, 4]), [1, 2, 4, 6])


def test_mask_box_is_tight_and_half_open() -> None:
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:7] = True
    np.testing.assert_array_equal(mask_to_box(mask), [3, 2, 7, 4])
    with pytest.raises(BadInput, match="empty"):
        mask_to_box(np.zeros((3, 3), bool))


def test_compressed_runs_are_those_of_coco() -> None:
    from faster_coco_eval.core import mask as coco_mask

    rng = np.random.default_rng(0)
    for share in (0.0, 0.01, 0.3, 0.9, 1.0):
        mask = rng.random((31, 700)) < share
        packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        np.testing.assert_array_equal(rle_to_mask(packed), mask)
        np.testing.assert_array_equal(rle_to_mask(packed | {"counts": packed["counts"].decode()}), mask)


@pytest.mark.parametrize(
    "counts", ["1e999", "o", "", "\u00e9", "oooooooooooo0", [1e30], [[4]], [2.5, 1.5], [5, -1], None]
)
def test_runs_that_are_none_are_refused_before_a_mask_is_filled(counts: Any) -> None:
    with pytest.raises(BadInput):
        rle_to_mask({"size": [2, 2], "counts": counts})
    with pytest.raises(BadInput, match="pixels at most"):
        rle_to_mask({"size": [10**6, 10**6], "counts": [10**12]})
