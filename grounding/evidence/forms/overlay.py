"""Set-of-mark: a copy of the picture with numbered boxes, for models that read marks better than coordinates.

The numbers are those of the evidence lines (Yang et al. 2023, https://arxiv.org/abs/2310.11441). Pure PIL.
"""

import math
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

from ...types import Region
from ..evidence import Evidence, EvidenceSettings
from . import EvidenceForm

PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Okabe and Ito's colours, told apart with every kind of colour vision; a number's is that of its place, in turn."""
LEAST_SIDE_PX = 256
"""A picture whose longer side is shorter is enlarged first, so that its marks can be read."""
Rect = tuple[float, float, float, float]


class OverlayForm(EvidenceForm):
    """A marked copy of each image that has a region; the numbers are those of the lines of text."""

    def make_images(
        self, images: Sequence[Image.Image], shown: Evidence, settings: EvidenceSettings
    ) -> list[Image.Image]:
        """In the order of the images."""
        copies, first = list[Image.Image](), 1
        for image, part in zip(images, shown.images, strict=False):
            copies += [draw_marks(image, part.regions, first)] if part.regions else []
            first += len(part.regions)
        return copies


def draw_marks(image: Image.Image, regions: Sequence[Region], first: int = 1) -> Image.Image:
    """A copy, RGB, with a box and a number from `first` for each region; the given picture is left as it is.

    Same shape as the picture, and same size unless it is below `LEAST_SIDE_PX`. Numbers are a sixteenth of the longer
    side high, so that they stay readable when a model scales the picture down.
    """
    scale = max(1, math.ceil(LEAST_SIDE_PX / max(image.size)))
    picture = image.convert("RGB").resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
    pen, side = ImageDraw.Draw(picture), max(picture.size)
    width, font = max(2, round(side / 160)), ImageFont.load_default(max(10, side / 16))
    boxes = [_inside([float(value) * scale for value in region.box_xyxy_px], picture.size) for region in regions]
    for number, box in enumerate(boxes, first):
        _draw_box(pen, box, _colour(number), width)
    taken: list[Rect] = []
    for number, box in enumerate(boxes, first):
        taken.append(_draw_number(pen, number, box, taken, picture.size, font))
    return picture


def _inside(box: Sequence[float], size_px: tuple[int, int]) -> Rect:
    """The box on whole pixels of the picture, its last row and column among them."""
    ends = [min(max(math.floor(value), 0), size_px[i % 2] - 1) for i, value in enumerate(box[:2])]
    stops = [min(max(math.ceil(value) - 1, 0), size_px[i % 2] - 1) for i, value in enumerate(box[2:])]
    return ends[0], ends[1], max(ends[0], stops[0]), max(ends[1], stops[1])


def _colour(number: int) -> str:
    return PALETTE[(number - 1) % len(PALETTE)]


def _draw_box(pen: ImageDraw.ImageDraw, box: Rect, colour: str, width: int) -> None:
    """An outline with a dark rim, seen on bright and on dark ground."""
    rim = max(1, width // 2)
    pen.rectangle((box[0] - rim, box[1] - rim, box[2] + rim, box[3] + rim), outline="black", width=width + 2 * rim)
    pen.rectangle(box, outline=colour, width=width)


def _draw_number(
    pen: ImageDraw.ImageDraw, number: int, box: Rect, taken: Sequence[Rect], size_px: tuple[int, int], font: object
) -> Rect:
    """The number on a plate of the box's colour, where it covers no other number; returns the plate."""
    text, colour = str(number), _colour(number)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)  # pyright: ignore[reportArgumentType]
    pad = max(1.0, (bottom - top) / 6)
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    plates = list(_plates(box, (width, height), size_px))
    is_free = [all(p[2] <= t[0] or t[2] <= p[0] or p[3] <= t[1] or t[3] <= p[1] for t in taken) for p in plates]
    plate = plates[is_free.index(True) if any(is_free) else 0]
    pen.rectangle(plate, fill=colour, outline="black")
    corner = (plate[0] + pad - left, plate[1] + pad - top)
    pen.text(corner, text, fill="white" if colour == "#0072B2" else "black", font=font)  # pyright: ignore[reportArgumentType]
    return plate


def _plates(box: Rect, plate: tuple[float, float], size_px: tuple[int, int]) -> Iterator[Rect]:
    """Places for a number, best first: above the box, below, beside it, then its inner corners; all in the picture."""
    (x0, y0, x1, y1), (width, height) = box, plate
    outside = [(x0, y0 - height), (x0, y1), (x0 - width, y0), (x1, y0)]
    inside = [(x0, y0), (x1 - width, y0), (x0, y1 - height), (x1 - width, y1 - height)]
    for x, y in [*outside, *inside]:
        left, top = min(max(x, 0), max(size_px[0] - width, 0)), min(max(y, 0), max(size_px[1] - height, 0))
        yield left, top, left + width, top + height


FORM = OverlayForm()
