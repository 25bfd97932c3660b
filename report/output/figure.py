"""An image with its regions drawn on it, as one fragment of HTML: an SVG with the image inside, nothing external."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from PIL import Image

from ...grounding.types import Region

STYLE = Path(__file__).with_name("figure.css").read_text(encoding="utf-8")
"""The figure's style sheet; a page that shows figures puts it into its `<style>` once."""

INKS = ("#4cc9f0", "#ffb454", "#8ae08a", "#ff7b9c", "#b9a3ff", "#ffe066", "#5ee0c8", "#ff9f6b")
"""Line colours that stand out on dark and grey images, in turn by phrase."""


def figure(
    image: Image.Image, regions: Sequence[Region], *, true_regions: Sequence[Region] = (), max_side: int = 320
) -> str:
    """`<figure>` with the image, predicted regions solid, true ones dashed, and a key of phrases and scores below.

    Regions are in pixels of `image`. The image is embedded, its longer side at most `max_side` pixels; a phrase has
    the same colour in both kinds. Needs `STYLE` on the page.
    """
    inks = inks_of([*regions, *true_regions])
    names = [(f"{region.phrase} {region.score:.2f}", region.phrase, "") for region in regions]
    names += [(f"{name} (true)", name, " mg-true") for name in dict.fromkeys(region.phrase for region in true_regions)]
    keys = [
        f'<span class="mg-key{kind}" style="--ink:{inks[phrase]}">{html.escape(text)}</span>'
        for text, phrase, kind in names
    ]
    caption = f"<figcaption>{''.join(keys)}</figcaption>" if keys else ""
    svg = drawing(image, regions, true_regions, max_side)
    return f'<figure class="mg-figure" style="width:{_embedded_size(image, max_side)[0]}px">{svg}{caption}</figure>'


def drawing(
    image: Image.Image,
    regions: Sequence[Region],
    true_regions: Sequence[Region] = (),
    max_side: int = 320,
    *,
    is_numbered: bool = False,
) -> str:
    """The figure's `<svg>` alone; with `is_numbered` each predicted region carries its number, from 1."""
    inks = inks_of([*regions, *true_regions])
    width, height = image.size
    shapes = [_shape(region, inks, image.size, max_side, "mg-true") for region in true_regions]
    for number, region in enumerate(regions, 1):
        shapes.append(_shape(region, inks, image.size, max_side, "mg-predicted", number if is_numbered else None))
    return (
        f'<svg viewBox="0 0 {width} {height}" role="{"group" if is_numbered else "img"}" xmlns="http://www.w3.org/2000/svg">'
        f'<image href="{data_uri(image, max_side)}" width="{width}" height="{height}"/>{"".join(shapes)}</svg>'
    )


def inks_of(regions: Sequence[Region]) -> dict[str, str]:
    """A colour for each phrase, in order of first appearance."""
    phrases = dict.fromkeys(region.phrase for region in regions)
    return {phrase: INKS[index % len(INKS)] for index, phrase in enumerate(phrases)}


def data_uri(image: Image.Image, max_side: int) -> str:
    """The image as a JPEG data URI, its longer side at most `max_side` pixels, without any metadata."""
    small = image.convert("RGB").resize(_embedded_size(image, max_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(small)).save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _embedded_size(image: Image.Image, max_side: int) -> tuple[int, int]:
    """(width, height) of the embedded image; small images are not enlarged."""
    scale = min(1.0, max_side / max(image.size))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _shape(
    region: Region, inks: dict[str, str], size_px: tuple[int, int], max_side: int, kind: str, number: int | None = None
) -> str:
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    label = html.escape(region.phrase + ("" if kind == "mg-true" else f", score {region.score:.2f}"))
    mask = "" if region.mask is None else f'<path d="{outline(region.mask, max_side)}"/>'
    box = f'<rect x="{x0:g}" y="{y0:g}" width="{x1 - x0:g}" height="{y1 - y0:g}"/>'
    tag, attributes = "", ""
    if number is not None:  # the region belongs to a page whose script answers pointer and keyboard
        # A disc with the number on the box's corner, moved inside the image where it would be cut.
        radius = 0.024 * max(size_px)
        cx, cy = (min(max(value, radius), side - radius) for value, side in zip((x0, y0), size_px, strict=True))
        tag = (
            f'<circle class="mg-tag" cx="{cx:.1f}" cy="{cy:.1f}" r="{radius:.1f}"/>'
            f'<text x="{cx:.1f}" y="{cy:.1f}" font-size="{1.25 * radius:.1f}">{number}</text>'
        )
        attributes = f' data-region="{number - 1}" tabindex="0" role="button"'
    return (
        f'<g class="mg-region {kind}" style="--ink:{inks[region.phrase]}"{attributes}>'
        f"<title>{label}</title>{mask}{box}{tag}</g>"
    )


def outline(mask_HW: NDArray[np.bool_], max_side: int) -> str:
    """SVG path data of a mask's outlines in its own pixels, drawn as finely as `max_side` pixels can show."""
    height, width = mask_HW.shape
    scale = min(1.0, max_side / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    gray = Image.fromarray(mask_HW.astype(np.uint8) * 255).resize(small, Image.Resampling.BOX)
    padded = np.pad(np.asarray(gray, np.float32), 1)  # closes outlines at the border
    unit = np.array([width / small[0], height / small[1]])
    paths: list[str] = []
    for line in contour_generator(z=padded).lines(127.5):
        # Pixel k of the padded mask has its centre at k; in the mask's own pixels that is k - 1 + 0.5.
        points_P2 = (np.asarray(line) - 0.5) * unit
        paths.append(f"M{' '.join(f'{x:.1f},{y:.1f}' for x, y in points_P2[:-1])}Z")
    return "".join(paths)
