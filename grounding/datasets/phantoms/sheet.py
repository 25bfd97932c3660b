"""The contact sheet of phantoms: two rows of images with their true boxes and labels, marked synthetic."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ...imaging.drawing import PLATE, colours_of, draw_regions
from ...types import AnnotatedImage

_TILE, _GAP, _HEAD = 288, 8, 26


def sheet(folder: Path, images: Sequence[AnnotatedImage], columns: int = 7) -> Image.Image:
    """All images on one page, `columns` a row; image paths are relative to `folder`."""
    rows = -(-len(images) // columns)
    page = Image.new("RGB", (columns * (_TILE + _GAP) + _GAP, rows * (_TILE + _HEAD + _GAP) + _HEAD + _GAP), PLATE)
    pen, small, large = ImageDraw.Draw(page), ImageFont.load_default(14), ImageFont.load_default(15)
    pen.text((_GAP, 5), "synthetic phantoms with their true regions: no patient is shown", "#dfe7ef", large)
    for k, annotated in enumerate(images):
        left = _GAP + (k % columns) * (_TILE + _GAP)
        top = _HEAD + (k // columns) * (_TILE + _HEAD + _GAP)
        pen.text((left + 2, top + 5), f"{annotated.modality} (synthetic)", "#9fb3c8", small)
        with Image.open(folder / annotated.image_path) as image:
            tile = image.convert("RGB").resize((_TILE, _TILE), Image.Resampling.BICUBIC)
        scale = _TILE / annotated.size_px[0]
        regions = [replace(region, box_xyxy_px=region.box_xyxy_px * scale, mask=None) for region in annotated.regions]
        tile = draw_regions(tile, regions, colours_of(annotated.phrases), lambda region: region.phrase)
        page.paste(tile, (left, top + _HEAD))
    return page
