"""Targets that cite: each sentence of a report with the numbers of the shown regions that it speaks of."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ...grounding.evidence.evidence import Evidence
from ...grounding.geometry import iou
from ...grounding.types import Region
from ...grounding.vocabulary.attribution import SAME_PLACE_IOU
from ...grounding.vocabulary.citations import with_citations
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.sentences import Sentence, ground_sentences
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
    sentences = (
        report.sentences if is_truth else ground_sentences(report.text, regions, load_labels(), shown.first.size_px)
    )
    cited = [
        [number for number, region in zip(numbers, regions, strict=False) if _speaks_of(sentence, region, is_truth)]
        for sentence in sentences
    ]
    if not any(cited):
        return report.text
    parts: list[str] = []
    for sentence, of_sentence in zip(sentences, cited, strict=True):
        body = sentence.text.rstrip(".!?")  # `A nodule [1].`: as models of public sets write it
        parts.append(with_citations(body, of_sentence) + sentence.text[len(body) :])
    return " ".join(parts)


def _speaks_of(sentence: Sentence, region: Region, is_truth: bool) -> bool:
    if not is_truth:
        return any(own is region for own in sentence.regions)
    # Predicted regions are never the true ones themselves: they are compared by phrase and place.
    true = [own.box_xyxy_px for own in sentence.regions if own.phrase == region.phrase]
    return bool(true) and bool((iou(region.box_xyxy_px[None], np.stack(true)) >= SAME_PLACE_IOU).any())
