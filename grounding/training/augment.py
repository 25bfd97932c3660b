"""Small changes to a training image that keep what is true of it: intensity, scale, place, flips, quarter turns.

No hue. G true boxes, S side of the square image in pixels.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..geometry import Boxes, mirror_boxes
from ..modalities import MODALITIES
from ..types import AnnotatedImage
from ..vocabulary.phrases import has_side
from .settings import DrawSettings


@dataclass(frozen=True, eq=False)
class View:
    """A square image uint8[S, S, 3] with boxes float32[G, 4] xyxy in its pixels and masks uint8[G, h, w].

    `seen_G` bool: boxes of which enough is in the square; None: all of them.
    """

    square: NDArray[np.uint8]
    boxes_G4: Boxes
    masks_Ghw: NDArray[np.uint8]
    seen_G: NDArray[np.bool_] | None = None


_LEAST_SEEN = 0.3
"""Part of a box that is in the square, below which the box is none."""


def augment(view: View, image: AnnotatedImage, rng: np.random.Generator, settings: DrawSettings) -> tuple[View, bool]:
    """The view changed, and whether left and right changed places.

    No box is cut: the image shrinks, grows and moves only as far as every box stays inside. Alone with `zoom_tiny` a
    piece of an image of many tiny parts is looked at, whatever it cuts.
    """
    # what has a left and a right, by modality or by its phrases, is neither turned nor, unless wanted, flipped
    phrases = (*image.phrases, *(region.phrase for region in image.regions))
    modality = MODALITIES[image.modality]
    is_turned = modality.is_turned and not any(map(has_side, phrases))
    is_flipped = (is_turned or settings.mirror) and rng.random() < 0.5
    if is_flipped:
        view = flip(view)
    if is_turned:
        view = turn(view, int(rng.integers(4)))
    view = _move(view, rng, settings, is_cut=modality.has_tiny_parts and settings.zoom_tiny > 1)
    return replace(view, square=_relight(view.square, rng, settings, modality.is_windowed)), is_flipped


def flip(view: View) -> View:
    """Left to right."""
    return View(view.square[:, ::-1], mirror_boxes(view.boxes_G4, len(view.square)), view.masks_Ghw[:, :, ::-1])


def turn(view: View, quarters: int) -> View:
    """By quarter turns against the clock."""
    side, boxes = len(view.square), view.boxes_G4
    for _ in range(quarters):
        boxes = np.stack([boxes[:, 1], side - boxes[:, 2], boxes[:, 3], side - boxes[:, 0]], 1)
    return View(np.rot90(view.square, quarters), boxes, np.rot90(view.masks_Ghw, quarters, (1, 2)))


def _move(view: View, rng: np.random.Generator, settings: DrawSettings, is_cut: bool) -> View:
    """The view scaled, stretched and shifted; all boxes stay inside the square unless it `is_cut`."""
    side = len(view.square)
    corner, end = np.full(2, side / 2, np.float32), np.full(2, side / 2, np.float32)
    if len(view.boxes_G4) and not is_cut:
        corner, end = view.boxes_G4[:, :2].min(0), view.boxes_G4[:, 2:].max(0)
    largest = settings.zoom_tiny if is_cut else settings.zoom
    zoom, ratio_2 = float(np.exp(rng.uniform(-np.log(settings.zoom), np.log(largest)))), np.ones(2)
    if settings.stretch > 1:
        half = np.log(settings.stretch) / 2
        ratio_2 = np.exp(rng.uniform(-half, half) * np.array([1, -1]))
    zoom = min(zoom, side / float(max(((end - corner) * ratio_2).max(), 1)))
    # Side 100, scale 0.8, boxes from 30 to 90: at 24 to 72, they leave 20 of slack, the image may start at 0 to 20.
    # At scale 1.2 it is 120 wide and starts at -20 to 0, yet boxes from 36 to 108 need it at -8 or less.
    scale_2 = (zoom * ratio_2).astype(np.float32)
    slack_2 = (side * (1 - zoom * ratio_2)).astype(np.float32)
    low = np.maximum(-corner * scale_2, np.minimum(0, slack_2))
    high = np.minimum(side - end * scale_2, np.maximum(0, slack_2))
    low, high = np.minimum(low, high), np.maximum(low, high)
    shift = (low + (high - low) * rng.random(2)).astype(np.float32)
    scales = (zoom * ratio_2).tolist()
    square = np.asarray(_place(view.square, scales, shift))
    cell = shift / np.float32(side // view.masks_Ghw.shape[-1])  # the shift in cells of the masks
    masks = [np.asarray(_place(mask, scales, cell)) if mask.any() else mask for mask in view.masks_Ghw]
    whole_G4 = view.boxes_G4 * np.tile(scale_2, 2) + np.tile(shift, 2)
    boxes_G4 = np.clip(whole_G4, 0, side).astype(np.float32)
    size_G, seen_size_G = ((boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (whole_G4, boxes_G4))
    seen_G = seen_size_G >= _LEAST_SEEN * size_G if is_cut else None
    return View(square, boxes_G4, np.array(masks, np.uint8).reshape(view.masks_Ghw.shape), seen_G)


def _relight(
    square: NDArray[np.uint8], rng: np.random.Generator, settings: DrawSettings, is_windowed: bool
) -> NDArray[np.uint8]:
    """Another window where there is one, gamma, contrast, brightness, noise; black padding may become dark grey."""
    low, high, max_gamma = 0.0, 255.0, 0.25
    if is_windowed and settings.window:
        max_gamma = 0.5
        seen = square[::2, ::2][square[::2, ::2] > 0]
        if rng.random() < settings.window and len(seen):
            low, high = np.percentile(seen, [rng.uniform(0, 35), rng.uniform(80, 100)])
            high = max(high, low + 1)
    # all through one table, then noise
    gamma, contrast = np.exp(rng.uniform([-max_gamma, -0.25], [max_gamma, 0.25]))
    values = np.clip((np.arange(256) - low) / (high - low), 0, 1) ** gamma
    table = (values - 0.5) * contrast + 0.5 + rng.uniform(-0.08, 0.08)
    noise = rng.standard_normal(square.shape, np.float32) * np.float32(rng.uniform(0, 5))
    return np.clip((table * 255).astype(np.float32)[square] + noise, 0, 255).astype(np.uint8)


def _place(pixels: NDArray[np.uint8], scales: list[float], shift: NDArray[np.float32]) -> Image.Image:
    (x, y), (right, down) = scales, shift.tolist()
    inverse = (1 / x, 0, -right / x, 0, 1 / y, -down / y)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return image.transform(image.size, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
