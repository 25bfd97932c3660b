"""A grounded report as one page that needs nothing but itself: image, regions, sentences, and what made them.

Pointing at a sentence lights its regions, pointing at a region its sentences, with the keyboard too; without scripts
all is still shown. What contradicts a sentence, and a claim without any region, is marked and listed, never changed.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from PIL import Image

from ...grounding.geometry import where
from ...grounding.imaging.drawing import FAVICON, colours_of, data_uri, svg_box, svg_outline
from ...grounding.modalities import MODALITIES
from ...grounding.types import MIN_SCORE, Region
from .grounded import GroundedReport, file_stem, score_in_words

_LAYERS = {"boxes": True, "masks": False, "numbers": True}
"""What can be switched in the image; True: every region has it."""


def page(report: GroundedReport, image: Image.Image, *, max_side: int = 1024, heading: str = "Findings") -> str:
    """The whole HTML page. `image` is the original image, embedded with its longer side at most `max_side` pixels.

    `heading`: what the text is.
    """
    return pages([report], [image], headings=[heading], title=report.report_id, max_side=max_side)


def pages(
    reports: Sequence[GroundedReport],
    images: Sequence[Image.Image],
    *,
    headings: Sequence[str],
    title: str,
    max_side: int = 1024,
) -> str:
    """Several on one page, below each other, as `page` has one."""
    mains = (_main(*row, max_side) for row in zip(reports, images, headings, strict=True))
    # a study has links to its other views; several studies have none
    return Template(_part("report.html")).substitute(
        title=escape(title),
        favicon=FAVICON,
        views=f'<p class="views">Other views: {_links(reports[0].other_views)}</p>' if reports[0].other_views else "",
        mains="\n".join(mains),
        notice=escape(reports[0].notice),
        style=_part("figure.css") + _part("report.css"),
        script=_part("report.js"),
    )


def _links(report_ids: Sequence[str]) -> str:
    """Links to the pages of the study's other images."""
    return ", ".join(f'<a href="{quote(file_stem(name))}.html">{escape(name)}</a>' for name in report_ids)


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _main(report: GroundedReport, image: Image.Image, heading: str, max_side: int) -> str:
    """One report: its image beside its text."""
    regions, checks = report.all_regions, report.all_checks
    spoken = {index for sentence in report.sentences for index in report.region_indices(sentence)}
    has_masks = any(region.mask is not None for region in regions)
    layers = [name for name, has_every_region in _LAYERS.items() if has_every_region or has_masks]
    buttons = (f'<button type="button" data-layer="{name}" aria-pressed="true">{name}</button>' for name in layers)
    inks = colours_of(region.phrase for region in regions)
    region_rows: list[str] = []
    for index, region in enumerate(regions):
        # Faint regions that no sentence speaks of begin switched off: they would crowd the image.
        checked = " checked" if index in spoken or region.score >= MIN_SCORE else ""
        path = " › ".join(part for part in region.path if part != region.phrase)
        score = ""
        if words := score_in_words(region):
            score = f'<meter min="0" max="1" value="{region.score:.3f}"></meter><span class="score">{words}</span>'
        region_rows.append(
            f'<li data-region="{index}" style="--ink:{inks[region.phrase]}"><label>'
            f'<input type="checkbox"{checked} data-toggle="{index}"><b>{index + 1}</b>'
            f'<span class="phrase">{escape(region.phrase)}<small>{escape(path)}</small></span></label>'
            f'<span class="where">image {where(region.box_xyxy_px, report.size_px)}</span>'
            f"{score}</li>"
        )
    # What made the report, in words; a fact that is not known is left out.
    citations, counts = "", report.agreement
    if counts and counts.num_cited:
        citations = f"{counts.cited_found} of {counts.num_cited} cited regions found again, "
        citations += f"{counts.grounded_cited} of {counts.num_grounded} found regions cited"
    facts = {
        "Image": "{}, {} × {} px".format(report.image, *report.size_px),
        "Modality": MODALITIES[report.modality].spoken if report.modality in MODALITIES else report.modality,
        "Indication": report.indication,
        "Earlier study": ", ".join(report.prior),
        "Date": report.date,
        "Model": report.model,
        "Adapter": report.adapter,
        "Grounder": report.grounder,
        "Evidence": report.evidence,
        "Flags": report.how_flagged if report.sentences else "",
        "Citations": citations,
        "Software": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    }
    shapes = [_shape(region, number, inks, image.size, max_side) for number, region in enumerate(regions, 1)]
    return Template(_part("main.html")).substitute(
        width=image.width,
        height=image.height,
        image=data_uri(image, max_side),
        shapes="".join(shapes),
        layers="".join(buttons),
        heading=escape(heading),
        sentences=" ".join(_sentence(report, index, inks) for index in range(len(report.sentences)))
        or "<em>No text.</em>",
        notes="".join(f'<p class="known">{escape(note)}</p>' for note in report.notes),
        checks="".join(f"<li>{escape(check)}</li>" for check in checks),
        unflagged="" if checks else "hidden",
        region_rows="".join(region_rows),
        hidden="" if regions else "hidden",
        facts="".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value),
    )


def _shape(region: Region, number: int, inks: dict[str, str], size_px: tuple[int, int], max_side: int) -> str:
    """A region of the drawing with its number, which the page's script lights under pointer and keyboard."""
    mask = "" if region.mask is None else f'<path d="{svg_outline(region.mask, max_side)}"/>'
    # A disc with the number on the box's upper left corner, moved inside the image where it would be cut.
    radius = 0.024 * max(size_px)
    corner = zip(region.box_xyxy_px[:2], size_px, strict=True)
    score = f", score {words}" if (words := score_in_words(region)) else ""
    cx, cy = (min(max(float(value), radius), side - radius) for value, side in corner)
    return (
        f'<g class="mg-region mg-predicted" style="--ink:{inks[region.phrase]}"'
        f' data-region="{number - 1}" tabindex="0" role="button">'
        f"<title>{escape(region.phrase)}{score}</title>{mask}{svg_box(region)}"
        f'<circle class="mg-tag" cx="{cx:.1f}" cy="{cy:.1f}" r="{radius:.1f}"/>'
        f'<text x="{cx:.1f}" y="{cy:.1f}" font-size="{1.25 * radius:.1f}">{number}</text></g>'
    )


def _sentence(report: GroundedReport, index: int, inks: dict[str, str]) -> str:
    """One sentence: with regions a button that lights them, else plain text; marks say what is to be checked.

    <span class="spoken flagged" data-regions="0 2" ...>A nodule.<span class="mark">!</span><sup>1</sup><sup>3</sup>
    <span class="denied" ...>No effusion.</span>
    <span class="unsupported">A mass.<span class="mark bare">?</span></span>
    """
    sentence, text = report.sentences[index], escape(report.sentences[index].text)
    flags, regions = report.flags(index), report.region_indices(sentence)
    noted = [*flags, *(remark for remark in report.remarks if remark.sentence == index)]
    kinds = [kind for kind, is_so in (("denied", sentence.is_negated), ("flagged", noted)) if is_so]
    words = escape("; ".join(one.words for one in noted))
    mark = f'<span class="mark" role="img" title="{words}">!</span>' if noted else ""
    if regions:
        numbers = ""
        for region in regions:
            ink, way = inks[report.all_regions[region].phrase], ""
            if report.attributions:  # the number is hollow where only one of two ways gives the region
                one = report.attributions[index]
                ways = [name for name, indices in (("cited", one.cited), ("found", one.grounded)) if region in indices]
                # A model that never cites was not asked to: then every number would be hollow, which says nothing.
                can_cite = any(other.cited or other.missing for other in report.attributions)
                way = f' title="{" and ".join(ways)}"' + (' class="one-way"' if can_cite and len(ways) < 2 else "")
            numbers += f'<sup style="--ink:{ink}"{way}>{region + 1}</sup>'
        listed, ink = " ".join(map(str, regions)), inks[sentence.regions[0].phrase]
        return (
            f'<span class="{" ".join(["spoken", *kinds])}" tabindex="0" role="button" data-regions="{listed}"'
            f' style="--ink:{ink}">{text}{mark}{numbers}</span>'
        )
    if report.support(index) == "neither":
        kinds.append("unsupported")
        mark += '<span class="mark bare" role="img" title="no region, cited or found">?</span>'
    others = f" <small>(in {_links(names)})</small>" if (names := report.elsewhere.get(index)) else ""
    kind = f' class="{" ".join(kinds)}"' if kinds else ""
    title = ' title="denied: no region"' if sentence.is_negated else ""
    return f"<span{kind}{title}>{text}{mark}{others}</span>"
