"""An image with its regions drawn on it, as one fragment of HTML: an SVG with the image inside, nothing external."""

import html
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ...grounding.imaging.drawing import colours_of, data_uri, fit_size, svg_box, svg_outline
from ...grounding.types import Region

STYLE = Path(__file__).with_name("figure.css").read_text(encoding="utf-8")
"""The figure's style sheet; a page that shows figures puts it into its `<style>` once."""


def figure(
    image: Image.Image, regions: Sequence[Region], *, true_regions: Sequence[Region] = (), max_side: int = 320
) -> str:
    """`<figure>` with the image, predicted regions solid, true ones dashed, and a key of phrases and scores below.

    Regions are in pixels of `image`. The image is embedded, its longer side at most `max_side` pixels; a phrase has
    the same colour in both kinds. Needs `STYLE` on the page.
    """
    inks = colours_of(region.phrase for region in [*regions, *true_regions])
    names = [(f"{region.phrase} {region.score:.2f}", region.phrase, "") for region in regions]
    names += [(f"{name} (true)", name, " mg-true") for name in dict.fromkeys(region.phrase for region in true_regions)]
    keys = [
        f'<span class="mg-key{kind}" style="--ink:{inks[phrase]}">{html.escape(text)}</span>'
        for text, phrase, kind in names
    ]
    caption = f"<figcaption>{''.join(keys)}</figcaption>" if keys else ""
    svg = drawing(image, regions, true_regions, max_side)
    return f'<figure class="mg-figure" style="width:{fit_size(image.size, max_side)[0]}px">{svg}{caption}</figure>'


def drawing(
    image: Image.Image,
    regions: Sequence[Region],
    true_regions: Sequence[Region] = (),
    max_side: int = 320,
    *,
    is_numbered: bool = False,
) -> str:
    """The figure's `<svg>` alone; with `is_numbered` each predicted region carries its number, from 1."""
    inks = colours_of(region.phrase for region in [*regions, *true_regions])
    width, height = image.size
    shapes = [_shape(region, inks, image.size, max_side, "mg-true") for region in true_regions]
    for number, region in enumerate(regions, 1):
        shapes.append(_shape(region, inks, image.size, max_side, "mg-predicted", number if is_numbered else None))
    return (
        f'<svg viewBox="0 0 {width} {height}" role="{"group" if is_numbered else "img"}" xmlns="http://www.w3.org/2000/svg">'
        f'<image href="{data_uri(image, max_side)}" width="{width}" height="{height}"/>{"".join(shapes)}</svg>'
    )


def _shape(
    region: Region, inks: dict[str, str], size_px: tuple[int, int], max_side: int, kind: str, number: int | None = None
) -> str:
    x0, y0 = (float(value) for value in region.box_xyxy_px[:2])
    label = html.escape(region.phrase + ("" if kind == "mg-true" else f", score {region.score:.2f}"))
    mask = "" if region.mask is None else f'<path d="{svg_outline(region.mask, max_side)}"/>'
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
        f"<title>{label}</title>{mask}{svg_box(region)}{tag}</g>"
    )
