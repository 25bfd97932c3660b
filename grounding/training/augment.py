"""Small changes to a training image that keep what is true of it: intensity, scale, place, flips, quarter turns.

No hue, no cut boxes. G true boxes, S side of the square image in pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..geometry import Boxes, mirror_boxes
from ..modalities import MODALITIES
from ..types import AnnotatedImage
from ..vocabulary.phrases import has_side


@dataclass(frozen=True, eq=False)
class View:
    """A square image uint8[S, S, 3] with boxes float32[G, 4] xyxy in its pixels and masks uint8[G, h, w]."""

    square: NDArray[np.uint8]
    boxes_G4: Boxes
    masks_Ghw: NDArray[np.uint8]


def augment(
    view: View, image: AnnotatedImage, rng: np.random.Generator, zoom: float, mirror: bool
) -> tuple[View, bool]:
    """The view changed, and whether left and right changed places.

    No box is cut: the image shrinks, grows and moves only as far as every box stays inside.
    """
    # what has a left and a right, by modality or by its phrases, is neither turned nor, unless wanted, flipped
    phrases = (*image.phrases, *(region.phrase for region in image.regions))
    is_turned = MODALITIES[image.modality].is_turned and not any(map(has_side, phrases))
    is_flipped = (is_turned or mirror) and rng.random() < 0.5
    if is_flipped:
        view = flip(view)
    if is_turned:
        view = turn(view, int(rng.integers(4)))
    return _move(view, rng, zoom), is_flipped


def flip(view: View) -> View:
    """Left to right."""
    return View(view.square[:, ::-1], mirror_boxes(view.boxes_G4, len(view.square)), view.masks_Ghw[:, :, ::-1])


def turn(view: View, quarters: int) -> View:
    """By quarter turns against the clock."""
    side, boxes = len(view.square), view.boxes_G4
    for _ in range(quarters):
        boxes = np.stack([boxes[:, 1], side - boxes[:, 2], boxes[:, 3], side - boxes[:, 0]], 1)
    return View(np.rot90(view.square, quarters), boxes, np.rot90(view.masks_Ghw, quarters, (1, 2)))


def _move(view: View, rng: np.random.Generator, zoom: float) -> View:
    """The view scaled by 1 / zoom to zoom, shifted, and of another brightness; all boxes stay inside the square."""
    side = len(view.square)
    corner, end = np.full(2, side / 2, np.float32), np.full(2, side / 2, np.float32)
    if len(view.boxes_G4):
        corner, end = view.boxes_G4[:, :2].min(0), view.boxes_G4[:, 2:].max(0)
    scale = min(float(np.exp(rng.uniform(-np.log(zoom), np.log(zoom)))), side / float(max((end - corner).max(), 1)))
    # Side 100, scale 0.8, boxes from 30 to 90: at 24 to 72, they leave 20 of slack, the image may start at 0 to 20.
    # At scale 1.2 it is 120 wide and starts at -20 to 0, yet boxes from 36 to 108 need it at -8 or less.
    slack = side * (1 - scale)
    low, high = np.maximum(-corner * scale, min(0, slack)), np.minimum(side - end * scale, max(0, slack))
    low, high = np.minimum(low, high), np.maximum(low, high)
    shift = (low + (high - low) * rng.random(2)).astype(np.float32)
    square = np.asarray(_place(view.square, scale, shift))
    cell = shift / np.float32(side // view.masks_Ghw.shape[-1])  # the shift in cells of the masks
    masks = [np.asarray(_place(mask, scale, cell)) if mask.any() else mask for mask in view.masks_Ghw]
    boxes = np.clip(view.boxes_G4 * scale + np.tile(shift, 2), 0, side).astype(np.float32)
    # gamma, contrast and brightness through one table, then noise; black padding may become dark grey
    gamma, contrast = np.exp(rng.uniform(-0.25, 0.25, 2))
    values = (np.arange(256) / 255) ** gamma
    table = (values - 0.5) * contrast + 0.5 + rng.uniform(-0.08, 0.08)
    noise = rng.standard_normal(square.shape, np.float32) * np.float32(rng.uniform(0, 5))
    square = np.clip((table * 255).astype(np.float32)[square] + noise, 0, 255).astype(np.uint8)
    return View(square, boxes, np.array(masks, np.uint8).reshape(view.masks_Ghw.shape))


def _place(pixels: NDArray[np.uint8], scale: float, shift: NDArray[np.float32]) -> Image.Image:
    inverse = (1 / scale, 0, -float(shift[0]) / scale, 0, 1 / scale, -float(shift[1]) / scale)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return image.transform(image.size, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
