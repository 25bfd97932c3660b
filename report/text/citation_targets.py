"""Targets that cite: each sentence of a report with the numbers of the shown regions that it speaks of."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ...grounding.evidence.evidence import Evidence
from ...grounding.geometry import iou
from ...grounding.types import Region
from ...grounding.vocabulary.attribution import SAME_PLACE_IOU
from ...grounding.vocabulary.citations import with_citations
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.sentences import ground_sentences
from ...vqa.prompt.prompt import Example
from ..task import Report


def to_cited(report: Report, example: Example) -> Example:
    """The report's example (`task.to_example`), asked to cite the regions it is shown, sentence by sentence."""
    return replace(example, may_cite=True, cited=partial(cited_text, report))


def cited_text(report: Report, shown: Evidence, numbers: Sequence[int]) -> str:
    """The report's text with citations before the stop of each sentence; unchanged where nothing is to be cited.

    `numbers`: of the shown regions that have one, the first so many. Where the regions of the report's sentences are
    known, a sentence cites what is shown of their phrases at their places (IoU of 0.5 on); else what its words speak
    of, as grounding afterwards finds it. Evidence that is wrong is thus not cited.
    """
    regions = shown.first.regions[: len(numbers)]  # of the first image, as the sentences' regions are
    is_truth = any(sentence.regions for sentence in report.sentences)
    sentences = report.sentences
    if not is_truth:
        sentences = ground_sentences(report.text, regions, load_labels(), shown.first.size_px)

    def is_same(own: Region, region: Region) -> bool:
        if not is_truth:
            return own is region
        # Shown regions are predicted, never the true ones themselves: phrase and place decide.
        return own.phrase == region.phrase and iou(region.box_xyxy_px, own.box_xyxy_px)[0, 0] >= SAME_PLACE_IOU

    parts: list[str] = []
    has_citation = False
    for sentence in sentences:
        pairs = zip(numbers, regions, strict=False)
        cited = [number for number, region in pairs if any(is_same(own, region) for own in sentence.regions)]
        body = sentence.text.rstrip(".!?")  # `A nodule [1].`: as models of public sets write it
        parts.append(with_citations(body, cited) + sentence.text[len(body) :])
        has_citation = has_citation or bool(cited)
    return " ".join(parts) if has_citation else report.text
