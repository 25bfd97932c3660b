"""What an overlay draws for a region in place of a box: after ViP-LLaVA (arXiv 2312.00784) and MedVP (2501.02385).

All follow from the box: the controls move boxes and leave masks behind, so that a mask's edge would give them away.
"""

from collections.abc import Callable

from PIL import Image, ImageDraw

Rect = tuple[float, float, float, float]
Draw = Callable[[Image.Image, Rect, str, int], None]
"""On a copy (RGB), the box in its pixels, colour and width of the line."""
ALPHA = 0.4
"""How much of the colour a filled box has."""


def ellipse(copy: Image.Image, box: Rect, colour: str, width: int) -> None:
    """The ellipse in the box, with a dark rim."""
    pen, rim = ImageDraw.Draw(copy), max(1, width // 2)
    around = (box[0] - rim, box[1] - rim, box[2] + rim, box[3] + rim)
    pen.ellipse(around, outline="black", width=width + 2 * rim)
    pen.ellipse(box, outline=colour, width=width)


def alpha(copy: Image.Image, box: Rect, colour: str, width: int) -> None:
    """The box, filled; the image shines through."""
    inside = Image.new("L", copy.size)
    ImageDraw.Draw(inside).rectangle(box, fill=round(255 * ALPHA))
    copy.paste(Image.new("RGB", copy.size, colour), mask=inside)


def arrow(copy: Image.Image, box: Rect, colour: str, width: int) -> None:
    """An arrow that ends in the middle of the box, from the side where the image has more room."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    length = max(copy.size) / 6
    dx, dy = (1 if x < copy.width / 2 else -1), (1 if y < copy.height / 2 else -1)
    pen, head = ImageDraw.Draw(copy), 2.5 * width
    start = (x + dx * length, y + dy * length)
    pen.line((x, y, *start), fill="black", width=2 * width)
    pen.line((x, y, *start), fill=colour, width=width)
    pen.polygon(((x, y), (x + dx * 2 * head, y + dy * head / 2), (x + dx * head / 2, y + dy * 2 * head)), fill=colour)


MARKS: dict[str, Draw] = {"ellipse": ellipse, "alpha": alpha, "arrow": arrow}
"""Beside the box, which the overlay draws itself."""
