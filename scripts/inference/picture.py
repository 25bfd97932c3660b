"""A picture where people would rather look than read: regions drawn on their image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ...grounding.imaging.read import read_image
from ...grounding.types import NOTICE, AnnotatedImage, Region, region_to_json

COLOURS = ((230, 97, 1), (44, 123, 182), (26, 150, 65), (215, 48, 140), (200, 170, 20), (110, 80, 190))


def is_picture(out: Path) -> bool:
    """Whether an output path names one picture, not a folder: `.png`, `.jpg` or `.jpeg` in any case."""
    return out.suffix.lower() in (".png", ".jpg", ".jpeg")


def draw(image: AnnotatedImage, phrases: Sequence[str], regions: Sequence[Region], out: Path) -> dict[str, Any]:
    """Write `<image>.png` with masks, boxes, phrases and scores into `out`; return the JSON line of the image."""
    picture = overlay(read_image(image.image_path), regions)
    path = out / f"{image.image_path.name}.regions.png"
    picture.save(path)
    return {
        "image": image.image_path.name,
        "modality": image.modality,
        "size_px": list(image.size_px),
        "phrases": list(phrases),
        "regions": [region_to_json(region) for region in regions],
        "picture": path.name,
        "notice": NOTICE,
    }


def overlay(image: Image.Image, regions: Sequence[Region]) -> Image.Image:
    """The RGB image with half-transparent masks, boxes, and `phrase score` above each box."""
    pixels = np.asarray(image.convert("RGB")).astype(np.float32)
    order = {phrase: i for i, phrase in enumerate(dict.fromkeys(region.phrase for region in regions))}
    for region in regions:
        if region.mask is not None:
            colour = np.array(COLOURS[order[region.phrase] % len(COLOURS)], np.float32)
            pixels[region.mask] = 0.65 * pixels[region.mask] + 0.35 * colour
    picture = Image.fromarray(pixels.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    width = max(1, round(max(picture.size) / 256))
    for region in regions:
        colour = COLOURS[order[region.phrase] % len(COLOURS)]
        box = [float(x) for x in region.box_xyxy_px]
        pen.rectangle(box, outline=colour, width=width)
        pen.text((box[0] + 2, max(0.0, box[1] - 12)), f"{region.phrase} {region.score:.2f}", fill=colour)
    return picture
