"""The contact sheet of phantoms: two rows of pictures with their true boxes and labels, marked synthetic."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ...types import AnnotatedImage, Region

COLOURS = ("#4cc9f0", "#ffd166", "#ef476f", "#06d6a0", "#f78c6b", "#c77dff")
_TILE, _GAP, _HEAD = 288, 8, 26


def sheet(folder: Path, images: Sequence[AnnotatedImage], columns: int = 7) -> Image.Image:
    """A picture of all studies, `columns` a row; image paths are relative to `folder`."""
    rows = -(-len(images) // columns)
    page = Image.new("RGB", (columns * (_TILE + _GAP) + _GAP, rows * (_TILE + _HEAD + _GAP) + _HEAD + _GAP), "#10141a")
    pen = ImageDraw.Draw(page)
    pen.text((_GAP, 5), "synthetic phantoms with their true regions: no patient is shown", "#dfe7ef", _font(15))
    for k, image in enumerate(images):
        left = _GAP + (k % columns) * (_TILE + _GAP)
        top = _HEAD + (k // columns) * (_TILE + _HEAD + _GAP)
        pen.text((left + 2, top + 5), f"{image.modality} (synthetic)", "#9fb3c8", _font(14))
        page.paste(_tile(folder, image), (left, top + _HEAD))
    return page


def _tile(folder: Path, annotated: AnnotatedImage) -> Image.Image:
    with Image.open(folder / annotated.image_path) as image:
        tile = image.convert("RGB").resize((_TILE, _TILE), Image.Resampling.BICUBIC)
    pen, scale = ImageDraw.Draw(tile), _TILE / annotated.size_px[0]
    for region in annotated.regions:
        _box(pen, region, COLOURS[annotated.phrases.index(region.phrase) % len(COLOURS)], scale)
    return tile


def _box(pen: ImageDraw.ImageDraw, region: Region, colour: str, scale: float) -> None:
    x0, y0, x1, y1 = (float(value) * scale for value in region.box_xyxy_px)
    pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour, width=2)
    spot = (max(0.0, x0), y0 - 14 if y0 >= 14 else y0 + 1)
    pen.rectangle(pen.textbbox(spot, region.phrase, _font(12)), fill="#10141a")
    pen.text(spot, region.phrase, colour, _font(12))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
