"""A folder of masks: `images/` and `masks/` with the same file names but for the suffix; one phrase, one region a blob.

Read with it here: Kvasir-SEG, polyps in colonoscopy (github.com/DebeshJha/Kvasir-SEG; research and education only).
Traps: touching objects are one blob; patients are not recorded, so every image is a group of its own; a mask may be
0/1, 0/255, or a palette of classes (any class but 0 counts); an image without a mask is unknown, not a negative, while
an empty mask is a negative.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...bad_input import BadInput, Skipped
from ...geometry import mask_to_box
from ...imaging.read import image_size
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..rows import annotate, image_mask_pairs, region, skipping

MIN_AREA = 0.0005
"""Blobs below this part of the image are specks; if all of them are, the largest one stays."""


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


def open_mask(file: Path, size_px: tuple[int, int]) -> Image.Image:
    """The image of a mask file as stored. Raises `BadInput` for a damaged file, and another size than the image has."""
    image_size(file)  # names what is wrong with the file
    try:
        with Image.open(file) as image:
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise BadInput(f"the mask is damaged ({error}).", file=file, fix="copy or export it again") from error
    if image.size != size_px:
        problem = f"mask of (H, W) {image.size[::-1]} for an image of (W, H) {size_px}."
        raise BadInput(problem, file=file, fix="scale it to the image")
    return image


def read_mask(file: Path, size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """bool[H, W] of a mask file: any class of a palette or of 0/1, above the middle for grey.

    Raises `BadInput` for a file that cannot be read or has another size than the image.
    """
    image = open_mask(file, size_px)
    values = np.asarray(image if image.mode in ("1", "P", "L") else image.convert("L"))
    is_grey = image.mode not in ("1", "P")
    return values > 127 if is_grey and values.max(initial=0) > 1 else values > 0


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
    return [labels == number + 1 for number in (large if len(large) else [int(sizes.argmax())])]
