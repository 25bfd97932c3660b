"""What is drawn for a region in place of a box: after ViP-LLaVA (arXiv 2312.00784) and MedVP (2501.02385).

All go where the box goes, outlines too: a mask that a control left behind would give it away.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

Rect = tuple[float, float, float, float]
Lines = Sequence[NDArray[np.float64]]
"""float[P, 2] each: the outlines of a region's mask in pixels of the copy; none where it has no mask."""
Draw = Callable[[Image.Image, Rect, Lines, str, int], None]
"""On a copy (RGB), the box in its pixels, the outlines, colour and width of the line."""
ALPHA = 0.4
"""How much of the colour a filled box or mask has."""


def box(copy: Image.Image, rect: Rect, lines: Lines, colour: str, width: int) -> None:
    """The box, with a dark rim: that is seen on bright ground, the outline on dark ground."""
    pen, rim = ImageDraw.Draw(copy), max(1, width // 2)
    pen.rectangle(_around(rect, rim), outline="black", width=width + 2 * rim)
    pen.rectangle(rect, outline=colour, width=width)


def ellipse(copy: Image.Image, rect: Rect, lines: Lines, colour: str, width: int) -> None:
    """The ellipse in the box, with a dark rim."""
    pen, rim = ImageDraw.Draw(copy), max(1, width // 2)
    pen.ellipse(_around(rect, rim), outline="black", width=width + 2 * rim)
    pen.ellipse(rect, outline=colour, width=width)


def alpha(copy: Image.Image, rect: Rect, lines: Lines, colour: str, width: int) -> None:
    """The box, filled; the image shines through."""
    inside = Image.new("1", copy.size)
    ImageDraw.Draw(inside).rectangle(rect, fill=1)
    _tint(copy, inside, colour)


def arrow(copy: Image.Image, rect: Rect, lines: Lines, colour: str, width: int) -> None:
    """An arrow that ends in the middle of the box, from the side where the image has more room."""
    x, y = (rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2
    length = max(copy.size) / 6
    dx, dy = (1 if x < copy.width / 2 else -1), (1 if y < copy.height / 2 else -1)
    pen, head = ImageDraw.Draw(copy), 2.5 * width
    start = (x + dx * length, y + dy * length)
    pen.line((x, y, *start), fill="black", width=2 * width)
    pen.line((x, y, *start), fill=colour, width=width)
    pen.polygon(((x, y), (x + dx * 2 * head, y + dy * head / 2), (x + dx * head / 2, y + dy * 2 * head)), fill=colour)


def contour(copy: Image.Image, rect: Rect, lines: Lines, colour: str, width: int) -> None:
    """The outline of the mask, with a dark rim; of a region without one the box."""
    if not lines:
        return box(copy, rect, lines, colour, width)
    pen, rim = ImageDraw.Draw(copy), max(1, width // 2)
    for line_width, ink in ((width + 2 * rim, "black"), (width, colour)):
        for line_P2 in lines:
            # pixel k lies between k and k + 1
            pen.line([(x - 0.5, y - 0.5) for x, y in line_P2], fill=ink, width=line_width, joint="curve")
    return None


def mask(copy: Image.Image, rect: Rect, lines: Lines, colour: str, width: int) -> None:
    """The mask, filled, its holes left out; of a region without one the box."""
    if not lines:
        return alpha(copy, rect, lines, colour, width)
    inside = Image.new("1", copy.size)
    for line_P2 in lines:  # a line within a line is the edge of a hole
        one = Image.new("1", copy.size)
        ImageDraw.Draw(one).polygon([(x - 0.5, y - 0.5) for x, y in line_P2], fill=1)
        inside = ImageChops.logical_xor(inside, one)
    _tint(copy, inside, colour)
    return None


def _around(rect: Rect, rim: int) -> Rect:
    return rect[0] - rim, rect[1] - rim, rect[2] + rim, rect[3] + rim


def _tint(copy: Image.Image, inside: Image.Image, colour: str) -> None:
    strength = inside.convert("L").point([0] * 255 + [round(255 * ALPHA)])
    copy.paste(Image.new("RGB", copy.size, colour), mask=strength)


MARKS: dict[str, Draw] = {
    "box": box,
    "ellipse": ellipse,
    "alpha": alpha,
    "arrow": arrow,
    "contour": contour,
    "mask": mask,
}
"""By the `mark` of a row of `names.FORMS`."""
