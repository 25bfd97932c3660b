"""A grounded report as one page that needs nothing but itself: picture, regions, sentences, and what made them.

Pointing at a sentence lights its regions, pointing at a region its sentences; without scripts all is still shown.
"""

from html import escape
from pathlib import Path
from string import Template

from PIL import Image

from ..grounding.evidence import where
from ..grounding.types import Region
from .figure import STYLE as STYLE
from .figure import drawing, inks_of
from .figure import figure as figure
from .grounded import GroundedReport
from .task import Sentence

_HERE = Path(__file__).parent


def page(report: GroundedReport, image: Image.Image, *, max_side: int = 1024) -> str:
    """The whole HTML page. `image` is the original picture, embedded with its longer side at most `max_side` pixels."""
    regions = report.all_regions
    inks = inks_of(regions)
    template = Template((_HERE / "report.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(report.report_id),
        figure=drawing(image, regions, max_side=max_side, is_numbered=True),
        sentences=" ".join(_sentence(report, sentence, inks) for sentence in report.sentences) or "<em>No text.</em>",
        region_rows="".join(_region_row(place, region, inks, report.size_px) for place, region in enumerate(regions)),
        hidden="" if regions else "hidden",
        facts="".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(report)),
        notice=escape(report.notice),
        style=STYLE + (_HERE / "report.css").read_text(encoding="utf-8"),
        script=(_HERE / "report.js").read_text(encoding="utf-8"),
    )


def _sentence(report: GroundedReport, sentence: Sentence, inks: dict[str, str]) -> str:
    places = report.places(sentence)
    text = escape(sentence.text)
    if not places:
        kind = ' class="denied" title="denied: no region"' if sentence.is_negated else ""
        return f"<span{kind}>{text}</span>"
    numbers = "".join(
        f'<sup style="--ink:{inks[region.phrase]}">{place + 1}</sup>'
        for place, region in zip(places, sentence.regions, strict=True)
    )
    ink = inks[sentence.regions[0].phrase]
    listed = " ".join(str(place) for place in places)
    return f'<span class="spoken" tabindex="0" data-regions="{listed}" style="--ink:{ink}">{text}{numbers}</span>'


def _region_row(place: int, region: Region, inks: dict[str, str], size_px: tuple[int, int]) -> str:
    path = " › ".join(part for part in region.path if part != region.phrase)
    return (
        f'<li data-region="{place}" style="--ink:{inks[region.phrase]}"><label>'
        f'<input type="checkbox" checked data-toggle="{place}"><b>{place + 1}</b>'
        f'<span class="phrase">{escape(region.phrase)}<small>{escape(path)}</small></span></label>'
        f'<span class="where">image {where(region.box_xyxy_px, size_px)}</span>'
        f'<meter min="0" max="1" value="{region.score:.3f}"></meter><span class="score">{region.score:.2f}</span></li>'
    )


def _facts(report: GroundedReport) -> list[tuple[str, str]]:
    """What made the report, in words."""
    width, height = report.size_px
    facts = [
        ("Image", f"{report.image}, {width} × {height} px"),
        ("Model", report.model),
        ("Adapter", report.adapter),
        ("Evidence", report.evidence),
        ("Software", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
    ]
    return [(name, value) for name, value in facts if value]
