"""A picture where people would rather look than read: regions drawn on their image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ...grounding.imaging.drawing import colours_of, draw_regions
from ...grounding.imaging.read import read_image
from ...grounding.types import NOTICE, AnnotatedImage, Region, region_to_json


def is_picture(out: Path) -> bool:
    """Whether an output path names one picture, not a folder: `.png`, `.jpg` or `.jpeg` in any case."""
    return out.suffix.lower() in (".png", ".jpg", ".jpeg")


def draw(image: AnnotatedImage, phrases: Sequence[str], regions: Sequence[Region], out: Path) -> dict[str, Any]:
    """Write `<image>.png` with masks, boxes, phrases and scores into `out`; return the JSON line of the image."""
    path = out / f"{image.image_path.name}.regions.png"
    draw_on_image(image, regions).save(path)
    return {
        "image": image.image_path.name,
        "modality": image.modality,
        "size_px": list(image.size_px),
        "phrases": list(phrases),
        "regions": [region_to_json(region) for region in regions],
        "picture": path.name,
        "notice": NOTICE,
    }


def draw_on_image(image: AnnotatedImage, regions: Sequence[Region]) -> Image.Image:
    """The RGB image with half-transparent masks, boxes, and `phrase score` at each box."""
    colours = colours_of(region.phrase for region in regions)
    return draw_regions(read_image(image.image_path), regions, colours, "{0.phrase} {0.score:.2f}".format)
