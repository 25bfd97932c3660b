"""A folder of masks: `images/` and `masks/` with the same file names but for the suffix; one phrase, one region a blob.

Read with it here: Kvasir-SEG, polyps in colonoscopy (github.com/DebeshJha/Kvasir-SEG; research and education only).
Traps: touching objects are one blob; patients are not recorded, so every image is a group of its own; a mask may have
any two colours or opacities, soft edges, or a palette of classes (any but 0 counts), see `imaging.masks`; an image
without a mask is unknown, not a negative, while an empty mask is a negative.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ...bad_input import BadInput, Skipped
from ...geometry import mask_to_box
from ...imaging.masks import read_mask
from ...imaging.read import image_size
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..rows import annotate, image_mask_pairs, region, skipping

MIN_AREA = 0.0005
"""Blobs below this part of the image are specks; if all of them are, the largest one stays."""
MAX_MASK_BYTES = 3 * 2**28
"""Of the masks of one image together."""


def read(folder: Path, skipped: Skipped, *, phrase: str, modality: str = "unknown") -> Iterator[AnnotatedImage]:
    """Images of the folder, one at a time, with split "". Images without a usable mask go to `skipped`.

    `phrase`: what the masks outline. Raises `BadInput` if a folder is missing.
    """
    label = load_labels().label(phrase)
    for image, mask in image_mask_pairs(folder, skipped):
        with skipping(skipped, image):
            size = image_size(image)
            regions = mask_regions(label, read_mask(mask, size), size, components=True)
            yield annotate(folder, image.stem, image, regions, [label], size_px=size, modality=modality)


def mask_regions(
    phrase: str, mask_HW: NDArray[np.bool_], size_px: tuple[int, int], components: bool = False
) -> list[Region]:
    """One region of a mask, or one for each of its blobs but specks (`MIN_AREA`); none if it is empty."""
    blobs = split_blobs(mask_HW) if components else [mask_HW] if mask_HW.any() else []
    return [region(phrase, mask_to_box(blob), size_px, blob) for blob in blobs]


def split_blobs(mask_HW: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """bool[H, W] of each blob (8 neighbours) of at least `MIN_AREA` of the image, else of the largest; [] for none."""
    from scipy import ndimage  # a third of a second that reading a recipe does not need

    labels, count = cast(tuple[NDArray[np.int32], int], ndimage.label(mask_HW, structure=np.ones((3, 3))))
    if not count:
        return []
    sizes = np.bincount(labels.ravel())[1:]
    large = np.flatnonzero(sizes >= MIN_AREA * mask_HW.size)
    if len(large) * mask_HW.size > MAX_MASK_BYTES:
        problem = f"{len(large)} outlines of {mask_HW.shape[1]} x {mask_HW.shape[0]} pixels."
        raise BadInput(problem, fix="scale image and mask down, or leave out components")
    return [labels == number + 1 for number in (large if len(large) else [int(sizes.argmax())])]
