"""A grounded report as one page that needs nothing but itself: picture, regions, sentences, and what made them.

Pointing at a sentence lights its regions, pointing at a region its sentences, with the keyboard too; without scripts
all is still shown. What contradicts a sentence, and a claim without any region, is marked and listed, never changed.
"""

from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from PIL import Image

from ...grounding.geometry import where
from ...grounding.types import Region
from .figure import STYLE as STYLE
from .figure import drawing, inks_of
from .figure import figure as figure
from .grounded import GroundedReport, file_stem

_HERE = Path(__file__).parent
_LAYERS = {"boxes": True, "masks": False, "numbers": True}
"""What can be switched in the picture; True: every region has it."""
_MIN_SCORE = 0.3
"""Regions below it that no sentence speaks of begin switched off: they would crowd the picture."""


def page(report: GroundedReport, image: Image.Image, *, max_side: int = 1024, heading: str = "Findings") -> str:
    """The whole HTML page. `image` is the original picture, embedded with its longer side at most `max_side` pixels.

    `heading`: what the text is.
    """
    regions, checks = report.all_regions, _checks(report)
    spoken = {place for sentence in report.sentences for place in report.places(sentence)}
    inks = inks_of(regions)
    template = Template((_HERE / "report.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(report.report_id),
        views=_views(report),
        figure=drawing(image, regions, max_side=max_side, is_numbered=True),
        layers=_layers(regions),
        heading=escape(heading),
        sentences=" ".join(_sentence(report, place, inks) for place in range(len(report.sentences)))
        or "<em>No text.</em>",
        checks="".join(f"<li>{escape(check)}</li>" for check in checks),
        unflagged="" if checks else "hidden",
        region_rows="".join(
            _region_row(place, region, inks, report.size_px, is_on=place in spoken or region.score >= _MIN_SCORE)
            for place, region in enumerate(regions)
        ),
        hidden="" if regions else "hidden",
        facts="".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(report)),
        notice=escape(report.notice),
        style=STYLE + (_HERE / "report.css").read_text(encoding="utf-8"),
        script=(_HERE / "report.js").read_text(encoding="utf-8"),
    )


def _views(report: GroundedReport) -> str:
    """Links to the pages of the same words about the study's other images, which lie beside this one."""
    links = (f'<a href="{quote(file_stem(name))}.html">{escape(name)}</a>' for name in report.other_views)
    return f'<p class="views">Other views: {", ".join(links)}</p>' if report.other_views else ""


def _layers(regions: tuple[Region, ...]) -> str:
    has_masks = any(region.mask is not None for region in regions)
    names = [name for name, is_always in _LAYERS.items() if is_always or has_masks]
    return "".join(f'<button type="button" data-layer="{name}" aria-pressed="true">{name}</button>' for name in names)


def _sentence(report: GroundedReport, place: int, inks: dict[str, str]) -> str:
    sentence, text = report.sentences[place], escape(report.sentences[place].text)
    flags, places = report.flags(place), report.places(sentence)
    kinds = [kind for kind, is_so in (("denied", sentence.is_negated), ("flagged", flags)) if is_so]
    mark = f'<span class="mark" role="img" title="{escape(_said(report, place))}">!</span>' if flags else ""
    if places:
        numbers = "".join(_number(report, place, region, inks) for region in places)
        listed, ink = " ".join(map(str, places)), inks[sentence.regions[0].phrase]
        return (
            f'<span class="{" ".join(["spoken", *kinds])}" tabindex="0" role="button" data-regions="{listed}"'
            f' style="--ink:{ink}">{text}{mark}{numbers}</span>'
        )
    if report.support(place) == "neither":
        kinds.append("unsupported")
        mark += '<span class="mark bare" role="img" title="no region, cited or found">?</span>'
    kind = f' class="{" ".join(kinds)}"' if kinds else ""
    title = ' title="denied: no region"' if sentence.is_negated else ""
    return f"<span{kind}{title}>{text}{mark}</span>"


def _number(report: GroundedReport, place: int, region: int, inks: dict[str, str]) -> str:
    """The number of a region behind a sentence, hollow where only one of two ways gives it."""
    ink, way = inks[report.all_regions[region].phrase], ""
    if report.attributions:
        one = report.attributions[place]
        by = [name for name, places in (("cited", one.cited), ("found", one.grounded)) if region in places]
        can_cite = any(other.cited or other.missing for other in report.attributions)
        way = f' title="{" and ".join(by)}"' + (' class="one-way"' if can_cite and len(by) < 2 else "")
    return f'<sup style="--ink:{ink}"{way}>{region + 1}</sup>'


def _said(report: GroundedReport, place: int) -> str:
    return "; ".join(flag.words for flag in report.flags(place))


def _checks(report: GroundedReport) -> list[str]:
    """What a reader should look at: contradictions, claims without a region, citations of nothing."""
    found: list[str] = []
    for place in range(len(report.sentences)):
        name = f"Sentence {place + 1}"
        found += [f"{name} {flag.words}." for flag in report.flags(place)]
        if report.support(place) == "neither":
            found.append(f"{name} rests on no region, cited or found.")
        missing = report.attributions[place].missing if report.attributions else ()
        if missing:
            found.append(f"{name} cites {', '.join(f'[{number}]' for number in missing)}, which is not there.")
    return found


def _region_row(place: int, region: Region, inks: dict[str, str], size_px: tuple[int, int], *, is_on: bool) -> str:
    path = " › ".join(part for part in region.path if part != region.phrase)
    return (
        f'<li data-region="{place}" style="--ink:{inks[region.phrase]}"><label>'
        f'<input type="checkbox"{" checked" if is_on else ""} data-toggle="{place}"><b>{place + 1}</b>'
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
        ("Grounder", report.grounder),
        ("Evidence", report.evidence),
        ("Citations", _agreed(report)),
        ("Software", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
    ]
    return [(name, value) for name, value in facts if value]


def _agreed(report: GroundedReport) -> str:
    found = report.agreement
    if found is None or not found.num_cited:
        return ""
    return (
        f"{found.cited_found} of {found.num_cited} cited regions found again, "
        f"{found.grounded_cited} of {found.num_grounded} found regions cited"
    )
