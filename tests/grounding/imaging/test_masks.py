"""Masks in any grey, colour or transparency are the same mask, or are refused; never an empty one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medglip.grounding import BadInput
from medglip.grounding.imaging.masks import read_mask

SIDE = 96
MASK = np.zeros((SIDE, SIDE), bool)
MASK[20:40, 30:60] = True
FLAT = np.full((SIDE, SIDE), 255, np.uint8)


def save(path: Path, values: np.ndarray, **options: Any) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


def paint(outside: tuple[int, ...], inside: tuple[int, ...]) -> np.ndarray:
    return np.where(MASK[..., None], np.array(inside, np.uint8), np.array(outside, np.uint8))


def read(path: Path, **options: bool) -> np.ndarray:
    return read_mask(path, (SIDE, SIDE), **options)


@pytest.mark.parametrize("grey", [1, 2, 100, 127, 128, 255, 4000, 65535])
@pytest.mark.parametrize("any_value", [False, True])
def test_any_grey_on_black_is_the_region(tmp_path: Path, grey: int, any_value: bool) -> None:
    values = (MASK * grey).astype(np.uint8 if grey < 256 else np.uint16)
    assert np.array_equal(read(save(tmp_path / "a.png", values), any_value=any_value), MASK)


@pytest.mark.parametrize("kind", [np.float32, np.int32, bool])
def test_floats_wide_and_single_bits_are_read(tmp_path: Path, kind: type) -> None:
    values = (MASK * 0.5).astype(kind) if kind is np.float32 else MASK.astype(kind)
    assert np.array_equal(read(save(tmp_path / "a.tif", values)), MASK)


@pytest.mark.parametrize(
    ("outside", "inside"),
    [
        *(((0, 0, 0), colour) for colour in [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9)]),
        ((255, 255, 255), (0, 0, 255)),  # neither is black: the border is background
        ((10, 200, 10), (200, 10, 10)),
        *(((grey, grey, grey, 0), (grey, grey, grey, 255)) for grey in (0, 255)),  # transparent is background
        ((7, 7, 7, 128), (7, 7, 7, 255)),
        ((0, 0, 0, 255), (255, 0, 0, 255)),
        ((9, 200), (200, 200)),
    ],
)
@pytest.mark.parametrize("any_value", [False, True])
def test_two_colours_or_opacities_are_background_and_region(
    tmp_path: Path, outside: tuple[int, ...], inside: tuple[int, ...], any_value: bool
) -> None:
    if not (any_value and outside == (255, 255, 255)):
        assert np.array_equal(read(save(tmp_path / "a.png", paint(outside, inside)), any_value=any_value), MASK)


def test_sixteen_bits_that_differ_in_the_lower_byte_are_two_values(tmp_path: Path) -> None:
    assert np.array_equal(read(save(tmp_path / "a.png", (MASK + 7000).astype(np.uint16))), MASK)


@pytest.mark.parametrize("quality", [50, 90])
@pytest.mark.parametrize("grey", [100, 255])
def test_soft_edges_are_cut_in_the_middle(tmp_path: Path, quality: int, grey: int) -> None:
    mask = read(save(tmp_path / "a.jpg", (MASK * grey).astype(np.uint8), quality=quality))
    assert (mask != MASK).sum() <= 8


def test_palette_holds_classes_whatever_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(MASK.astype(np.uint8) * 2 + (MASK & (np.arange(SIDE) > 40)))
    image.putpalette([255, 255, 255, 9, 9, 9, 200, 0, 0, 0, 0, 0])
    image.save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png"), MASK)


def test_every_value_but_zero_is_inside_where_the_set_says_so(tmp_path: Path) -> None:
    values = MASK.astype(np.uint8) * 3 + (MASK & (np.arange(SIDE) > 40))
    assert np.array_equal(read(save(tmp_path / "a.png", values), any_value=True), MASK)


def test_empty_and_full_masks_stay_what_they_are(tmp_path: Path) -> None:
    assert not read(save(tmp_path / "a.png", FLAT * 0)).any()
    assert not read(save(tmp_path / "b.png", np.dstack([FLAT * 0] * 3 + [FLAT]))).any()
    assert read(save(tmp_path / "c.png", FLAT)).all()
    assert not read(save(tmp_path / "d.png", np.dstack([FLAT] * 3 + [FLAT * 0]))).any()  # white, wholly transparent


def test_a_mask_is_turned_like_its_image(tmp_path: Path) -> None:
    Image.fromarray(np.rot90(MASK)).save(tmp_path / "a.tif", tiffinfo={274: 6})
    assert np.array_equal(read(tmp_path / "a.tif"), MASK)


INNER = MASK & (np.arange(SIDE) > 50)


@pytest.mark.parametrize(
    "values",
    [
        (MASK * 1 + INNER).astype(np.uint8),  # classes 0, 1, 2
        np.where(INNER, 255, MASK * 128).astype(np.uint8),
        np.where(INNER[..., None], np.array([0, 255, 0], np.uint8), paint((0, 0, 0), (255, 0, 0))),
        FLAT // 2,  # one grey: region or background?
        np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8),
        np.where(MASK, np.float32("nan"), np.float32(0)),
    ],
)
def test_what_no_rule_reads_is_refused_with_a_fix(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(BadInput, match=r"a\.tif: .*Fix:"):
        read(save(tmp_path / "a.tif", values))
