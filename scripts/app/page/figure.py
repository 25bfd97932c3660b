"""A picture with its regions and the list of them: pointing at one lights the other, without a script."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from ....grounding.imaging.drawing import data_uri, svg_box, svg_outline, tell_apart
from ....grounding.types import Region
from ..stacks import MAX_SIDE

STYLE, SCRIPT = (Path(__file__).with_name(f"figure.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))


def figure(
    image: Image.Image,
    regions: Sequence[Region] = (),
    *,
    name: str = "",
    notes: Sequence[str] = (),
    size_px: tuple[int, int] | None = None,
) -> str:
    """The HTML of one picture. Each region is a shape and a button of the same number; `notes` stand below.

    `size_px`: in which regions are measured, where `image` is a smaller copy; it is sent with `MAX_SIDE` at most.
    """
    width, height = size_px or image.size
    colours, names = tell_apart(regions)
    shapes, rows, lit = [], [], []
    for number, (region, colour, label) in enumerate(zip(regions, colours, names, strict=True), 1):
        words = f"{escape(label)} {region.score:.2f}"
        shapes.append(
            f'<g class="mg-region mg-r{number}" stroke="{colour}" fill="{colour}"><title>{words}</title>'
            f"{_shape(region)}</g>"
        )
        rows.append(
            f'<li><button type="button" class="mg-row mg-r{number}" data-score="{region.score:.4f}">'
            f'<span class="mg-ink" style="background:{colour}"></span>{words}</button></li>'
        )
        lit.append(f".mg-figure:has(.mg-r{number}:hover,.mg-r{number}:focus-visible) .mg-r{number}")
    told = "".join(f"<li>{escape(note)}</li>" for note in notes)
    listed = f'<ol class="mg-list" aria-label="Regions">{"".join(rows)}</ol>' if rows else "<p>No region.</p>"
    lights = ",".join(lit) + "{--lit:1}" if lit else ""
    return (
        f'<div class="mg-figure" style="--aspect:{width / height:.4f}"><style>{lights}</style>'
        f'<div class="mg-frame" tabindex="0" role="group" aria-label="Picture {escape(name)}">'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name or "picture")} with '
        f'{len(regions)} regions"><image href="{data_uri(image, MAX_SIDE)}" width="{width}" height="{height}"/>'
        f'{"".join(shapes)}<rect class="mg-drawn" width="0" height="0"/></svg></div>{listed}'
        f"{f'<ul class=mg-notes>{told}</ul>' if told else ''}</div>"
    )


def _shape(region: Region) -> str:
    mask = "" if region.mask is None else f'<path class="mg-mask" d="{svg_outline(region.mask, MAX_SIDE)}"/>'
    return svg_box(region, ' class="mg-box"') + mask
