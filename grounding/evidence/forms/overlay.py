"""Set-of-mark: a copy of the image with numbered boxes or other marks, for models that read marks better than
coordinates.

The numbers are those of the evidence lines (Yang et al. 2023, https://arxiv.org/abs/2310.11441). Pure PIL.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...geometry import to_rgb
from ...types import Region
from ...vocabulary.box_notation import BoxText
from ..evidence import Evidence, EvidenceSettings
from ..names import MASK_MARKS
from ..outlines import outlined
from . import EvidenceForm, Images
from .marks import MARKS, Rect

PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Okabe and Ito's colours, distinct for every kind of colour vision; numbers take them in turn."""
MIN_SIDE_PX = 256
"""An image whose longer side is shorter is enlarged first, so that its marks can be read."""


class OverlayForm(EvidenceForm):
    """A marked copy of each image that has a region; the numbers are those of the lines of text."""

    def __init__(self, mark: str):
        self.mark = mark

    def make_images(self, images: Images, evidence: Evidence, settings: EvidenceSettings) -> list[Image.Image]:
        """In the order of the images."""
        copies, first = list[Image.Image](), 1
        for image, part in zip(images, evidence.images, strict=False):
            copies += [draw_marks(image, part.regions, first, self.mark)] if part.regions else []
            first += len(part.regions)
        return copies

    def caption_images(self, evidence: Evidence, settings: EvidenceSettings, box_text: BoxText) -> list[str]:
        """Nothing is said of a copy: the numbers in it speak."""
        return ["" for part in evidence.images if part.regions]


def draw_marks(image: Image.Image, regions: Sequence[Region], first: int = 1, mark: str = "box") -> Image.Image:
    """A copy, RGB, with a mark of `MARKS` and a number from `first` for each region; the given image is
    left as it is.

    Same shape as the image, and same size unless it is below `MIN_SIDE_PX`. Numbers are a sixteenth of the longer
    side high, so that they stay readable when a model scales the image down.
    """
    scale = max(1, math.ceil(MIN_SIDE_PX / max(image.size)))
    size_px = (image.width * scale, image.height * scale)
    copy = to_rgb(image).resize(size_px, Image.Resampling.BICUBIC)
    pen, font = ImageDraw.Draw(copy), ImageFont.load_default(max(10, max(size_px) / 16))
    width = max(2, round(max(size_px) / 160))
    boxes: list[Rect] = []
    for number, region in enumerate(regions, first):
        x0, y0, x1, y1 = (float(value) * scale for value in region.box_xyxy_px)
        # half-open edges to the first and last whole pixel inside the copy; a thin box keeps one pixel
        left, top = (min(max(math.floor(v), 0), side - 1) for v, side in zip((x0, y0), size_px, strict=True))
        right, bottom = (min(max(math.ceil(v) - 1, 0), side - 1) for v, side in zip((x1, y1), size_px, strict=True))
        box = left, top, max(left, right), max(top, bottom)
        boxes.append(box)
        corner, sides = np.array((x0, y0)), np.array((x1 - x0, y1 - y0))
        lines = [corner + line_P2 * sides for line_P2 in outlined(region).outline or ()] if mark in MASK_MARKS else []
        MARKS[mark](copy, box, lines, _colour(number), width)
    plates: list[Rect] = []
    for number, box in enumerate(boxes, first):  # after all boxes, so that no outline crosses a number
        plates.append(_draw_number(pen, number, box, plates, size_px, font))
    return copy


def _colour(number: int) -> str:
    return PALETTE[(number - 1) % len(PALETTE)]


def _draw_number(
    pen: ImageDraw.ImageDraw, number: int, box: Rect, others: Sequence[Rect], size_px: tuple[int, int], font: object
) -> Rect:
    """The number on a plate of the box's colour, where it covers no other number; returns the plate."""
    text, colour, (x0, y0, x1, y1) = str(number), _colour(number), box
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)  # pyright: ignore[reportArgumentType]
    pad = max(1.0, (bottom - top) / 6)
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    # best first: above the box, below, beside it, then its inner corners; all moved into the image
    corners = [(x0, y0 - height), (x0, y1), (x0 - width, y0), (x1, y0)]
    corners += [(x0, y0), (x1 - width, y0), (x0, y1 - height), (x1 - width, y1 - height)]
    xs = [min(max(x, 0), max(size_px[0] - width, 0)) for x, _ in corners]
    ys = [min(max(y, 0), max(size_px[1] - height, 0)) for _, y in corners]
    plates = [(x, y, x + width, y + height) for x, y in zip(xs, ys, strict=True)]
    is_free = [all(p[2] <= t[0] or t[2] <= p[0] or p[3] <= t[1] or t[3] <= p[1] for t in others) for p in plates]
    plate = plates[is_free.index(True) if any(is_free) else 0]
    pen.rectangle(plate, fill=colour, outline="black")
    corner = (plate[0] + pad - left, plate[1] + pad - top)
    # white is readable on the one dark colour alone
    pen.text(corner, text, fill="white" if colour == "#0072B2" else "black", font=font)  # pyright: ignore[reportArgumentType]
    return plate


of_mark = OverlayForm
