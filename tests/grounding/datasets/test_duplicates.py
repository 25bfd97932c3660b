"""Equal and alike pictures among many: found as by comparing all pairs; other pictures are left alone."""

import io

import numpy as np
import pytest
from PIL import Image

from medglip.grounding.datasets.building.duplicates import NEAR_BITS, alike_before, fingerprints, same_before
from medglip.grounding.datasets.building.export import ImageHashes, shared_images


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC)


def hashes_with_neighbours(seed: int, count: int) -> np.ndarray:
    """Random hashes, most of them others with 0 to 4 bits changed."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 2**64, count, np.uint64)
    for k in range(count // 3, count):
        found[k] = (
            found[rng.integers(0, k)]
            ^ np.bitwise_or.reduce(np.uint64(1) << rng.integers(0, 64, rng.integers(1, 5), np.uint64))
            if rng.random() < 0.9
            else found[rng.integers(0, k)]
        )
    return found


@pytest.mark.parametrize("seed", range(4))
def test_near_hashes_are_those_of_all_pairs(seed: int) -> None:
    hashes = hashes_with_neighbours(seed, 300)
    ranks = np.random.default_rng(seed).integers(0, 3, 300).astype(np.int16)
    thumbnails = np.tile(np.arange(256, dtype=np.uint8), (300, 1))
    found = alike_before(hashes, ranks, thumbnails)
    near = (np.bitwise_count(hashes[:, None] ^ hashes[None]) <= NEAR_BITS) & (ranks[:, None] > ranks[None])
    assert np.array_equal(found >= 0, near.any(1))
    assert all(near[row, match] for row, match in enumerate(found) if match >= 0)


def test_same_before_gives_the_first_row_of_the_lowest_rank() -> None:
    hashes = np.array([7, 5, 7, 7, 5, 9], np.uint64)
    assert same_before(hashes, np.array([1, 0, 0, 2, 0, 0])).tolist() == [2, -1, -1, 2, -1, -1]
    assert same_before(hashes[:0], np.array([], int)).tolist() == []


def test_scaled_and_compressed_pictures_are_alike_and_others_are_not() -> None:
    originals = [picture(k) for k in range(20)]
    copies = []
    for image in originals:
        buffer = io.BytesIO()
        image.resize((96, 72)).save(buffer, "JPEG", quality=60)
        copies.append(Image.open(buffer))
    prints = [fingerprints(image) for image in [*originals, *copies]]
    assert len({pixel for pixel, _, _ in prints}) == 40
    looks = np.array([look for _, look, _ in prints], np.uint64)
    thumbnails = np.array([list(thumbnail) for _, _, thumbnail in prints], np.uint8)
    found = alike_before(looks, np.repeat([0, 1], 20), thumbnails)
    assert found[:20].tolist() == [-1] * 20
    assert all(match in (-1, k) for k, match in enumerate(found[20:].tolist()))
    assert (found[20:] >= 0).sum() >= 18  # the rule of 2 bits misses a few


def test_flat_pictures_and_equal_hashes_of_other_pictures_are_left_alone() -> None:
    black, _, _ = fingerprints(Image.new("L", (30, 30))), 0, 0
    looks = np.array([black[1], black[1]], np.uint64)
    thumbnails = np.array([list(black[2])] * 2, np.uint8)
    assert alike_before(looks, np.array([0, 1]), thumbnails).tolist() == [-1, -1]
    rng = np.random.default_rng(0)
    looks = np.full(2, 0x0F0F0F0F0F0F0F0F, np.uint64)
    assert alike_before(looks, np.array([0, 1]), rng.integers(0, 256, (2, 256), np.uint8)).tolist() == [-1, -1]


def test_the_pixels_count_and_not_the_file() -> None:
    buffer = io.BytesIO()
    picture(1).save(buffer, "PNG", compress_level=1)
    assert fingerprints(Image.open(buffer)) == fingerprints(picture(1))
    assert fingerprints(picture(1).resize((120, 160)))[0] != fingerprints(picture(1))[0]


def test_train_pictures_that_are_held_out_too_are_named() -> None:
    rows = [("a", "train", 1), ("b", "val", 1), ("c", "train", 2), ("d", "test", 3), ("e", "val", 2)]
    pictures = [ImageHashes(name, split, *fingerprints(picture(seed))) for name, split, seed in rows]
    assert shared_images(pictures) == [
        {"train": "a", "is": "equal pixels", "held out": "b"},
        {"train": "c", "is": "equal pixels", "held out": "e"},
    ]
    assert shared_images([]) == []
