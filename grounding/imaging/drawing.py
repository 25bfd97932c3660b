"""Regions drawn on their image, for people: one set of colours, one way in pixels (PIL) and one in SVG.

The marks for a language model (`evidence.forms.overlay`) are drawn there: adapters have learned them as they are.
"""

import base64
import io
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..geometry import to_rgb
from ..types import Region
from .window import strips

COLOURS = ("#4cc9f0", "#ffb454", "#8ae08a", "#ff7b9c", "#b9a3ff", "#ffe066", "#5ee0c8", "#ff9f6b")
"""They stand out on dark and grey images; phrases take them in turn."""
FAVICON = (
    "data:image/svg+xml,%3Csvg xmlns='http:%2F%2Fwww.w3.org%2F2000%2Fsvg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3.5' fill='%2310141a'/%3E"
    "%3Crect x='3' y='4' width='10' height='8' rx='1' fill='none' stroke='%234cc9f0' stroke-width='1.6'/%3E"
    "%3Ccircle cx='8' cy='8' r='1.8' fill='%23ffb454'/%3E%3C/svg%3E"
)
"""The sign of our pages: a box around a finding."""
PLATE = "#10141a"
"""Behind words on an image."""
Plate = tuple[float, float, float, float]
"""Left, top, right and bottom of a label, in pixels."""


def colours_of(phrases: Iterable[str]) -> dict[str, str]:
    """A colour for each phrase, in order of first appearance."""
    return {phrase: COLOURS[index % len(COLOURS)] for index, phrase in enumerate(dict.fromkeys(phrases))}


def tell_apart(regions: Sequence[Region]) -> tuple[list[str], list[str]]:
    """A colour and a name for each region: two of one phrase have numbers, `kidney 1` and `kidney 2`."""
    phrases = [region.phrase for region in regions]
    counts, seen = Counter(phrases), Counter[str]()
    names: list[str] = []
    for phrase in phrases:
        seen[phrase] += 1
        names.append(f"{phrase} {seen[phrase]}" if counts[phrase] > 1 else phrase)
    return [COLOURS[index % len(COLOURS)] for index in range(len(names))], names


def draw_regions(
    image: Image.Image, regions: Sequence[Region], colours: Sequence[str], labels: Sequence[str], *, min_side: int = 0
) -> Image.Image:
    """The image with half-transparent masks, boxes, and a label at each box, on a plate, inside the image and not on
    another label where there is room. An RGB image that is not enlarged is drawn on itself.

    Regions are in pixels of the image; `colours`, `labels`: one for each. A smaller image is enlarged by a whole number
    until its longer side has `min_side` pixels.
    """
    scale = max(1, -(-min_side // max(image.size)))
    copy = to_rgb(image)
    if scale > 1:
        copy = copy.resize([scale * side for side in image.size], Image.Resampling.BICUBIC)
    for region, colour in zip(regions, colours, strict=True):
        if region.mask is not None:
            _paint(copy, region, colour, scale)
    pen, font = ImageDraw.Draw(copy), ImageFont.load_default(max(12, round(max(copy.size) / 60)))
    width = max(1, round(max(copy.size) / 256))
    boxes = [[scale * float(value) for value in region.box_xyxy_px] for region in regions]
    for (x0, y0, x1, y1), colour in zip(boxes, colours, strict=True):
        # boxes are half open, PIL's rectangles hold their last row and column; a thin box keeps one pixel
        pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=width)
    taken: list[Plate] = []
    for box, colour, label in zip(boxes, colours, labels, strict=True):  # over all boxes
        left, top, right, bottom = pen.textbbox((0, 0), label, font=font)
        taken.append(_place(box, (right - left + 4, bottom - top + 4), copy.size, taken))
        x, y, *_ = taken[-1]
        pen.rectangle(taken[-1], fill=PLATE)
        pen.text((x + 2 - left, y + 2 - top), label, fill=colour, font=font)
    return copy


def _paint(copy: Image.Image, region: Region, colour: str, scale: int) -> None:
    """A region's mask, a third of its colour."""
    assert region.mask is not None
    ink = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
    # a mask is zero outside its box, so the box alone is painted
    x0, y0 = (int(value) for value in np.floor(region.box_xyxy_px[:2]).clip(0))
    height, width = region.mask.shape
    x1, y1 = (min(int(np.ceil(end)), side) for end, side in zip(region.box_xyxy_px[2:], (width, height), strict=True))
    for rows in strips(y1 - y0, x1 - x0):
        top, bottom = y0 + rows.start, y0 + rows.stop
        inside = region.mask[top:bottom, x0:x1].repeat(scale, 0).repeat(scale, 1)
        pixels = np.array(copy.crop((scale * x0, scale * top, scale * x1, scale * bottom)))
        pixels[inside] = (0.65 * pixels[inside] + 0.35 * ink).astype(np.uint8)
        copy.paste(Image.fromarray(pixels), (scale * x0, scale * top))


def _place(box: Sequence[float], size: tuple[float, float], within: tuple[int, int], taken: Sequence[Plate]) -> Plate:
    """Where a label of a size goes: above its box, inside it, below, else in the next free row; never cut."""
    (x0, y0, x1, y1), (width, height), (right, bottom) = box, size, within
    spots = [(x, y) for y in (y0 - height, y0 + 1, y1, y1 - height - 1) for x in (x0, x1 - width)]
    rows = (y0 + sign * row * height for row in range(1, 2 + int(bottom / height)) for sign in (1, -1))
    spots += [(x, y) for y in rows for x in (x0, x1 - width, 0, right - width)]
    plates = []
    for x, y in spots:
        left, top = max(0.0, min(x, right - width)), max(0.0, min(y, bottom - height))
        plates.append((left, top, left + width, top + height))
    return next((plate for plate in plates if not any(_meet(plate, other) for other in taken)), plates[0])


def _meet(a: Plate, b: Plate) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def data_uri(image: Image.Image, max_side: int) -> str:
    """The image as a JPEG data URI, its longer side at most `max_side` pixels, without any metadata."""
    small = to_rgb(image).resize(fit_size(image.size, max_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(small)).save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def fit_size(size_px: tuple[int, int], max_side: int) -> tuple[int, int]:
    """(width, height) with a longer side of at most `max_side`; smaller ones are not enlarged."""
    scale = min(1.0, max_side / max(size_px))
    return max(1, round(size_px[0] * scale)), max(1, round(size_px[1] * scale))


def svg_box(region: Region, attributes: str = "") -> str:
    """`<rect>` of a region's box in pixels of its image."""
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    return f'<rect x="{x0:g}" y="{y0:g}" width="{x1 - x0:g}" height="{y1 - y0:g}"{attributes}/>'


def svg_outline(mask_HW: NDArray[np.bool_], max_side: int) -> str:
    """SVG path data of a mask's outlines in its own pixels, drawn as finely as `max_side` pixels can show."""
    lines = outlines(mask_HW, max_side)
    return "".join(f"M{' '.join(f'{x:.1f},{y:.1f}' for x, y in points_P2[:-1])}Z" for points_P2 in lines)


def outlines(mask_HW: NDArray[np.bool_], max_side: int) -> list[NDArray[np.float64]]:
    """float[P, 2], x and y in the mask's own pixels, for each closed line around it, its last point the first again."""
    from contourpy import contour_generator  # only here: who wants the colours alone need not load it

    height, width = mask_HW.shape
    small = fit_size((width, height), max_side)
    grey = Image.fromarray(mask_HW.astype(np.uint8) * 255).resize(small, Image.Resampling.BOX)
    padded = np.pad(np.asarray(grey, np.float32), 1)  # closes outlines at the border
    unit = np.array([width / small[0], height / small[1]])
    # pixel k of the padded mask has its centre at k; in the mask's own pixels that is k - 1 + 0.5
    return [(np.asarray(line) - 0.5) * unit for line in contour_generator(z=padded).lines(127.5)]
