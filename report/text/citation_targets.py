"""Targets that cite: each sentence of a report with the numbers of the shown regions that it speaks of."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ...grounding.evidence.evidence import Evidence
from ...grounding.geometry import iou
from ...grounding.types import Region
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.sentences import Sentence, ground_sentences
from ...vqa.citations import with_citations
from ...vqa.prompt.prompt import Example
from ..task import Report
from .attribution import SAME_PLACE_IOU


def to_cited(report: Report, example: Example) -> Example:
    """The report's example (`task.to_example`), asked to cite the regions it is shown, sentence by sentence."""
    return replace(example, may_cite=True, cited=partial(cited_text, report))


def cited_text(report: Report, shown: Evidence, numbers: Sequence[int]) -> str:
    """The report's text with citations before the stop of each sentence; unchanged where nothing is to be cited.

    `numbers`: of the shown regions that have one, the first so many. Where the regions of the report's sentences are
    known, a sentence cites what is shown of their phrases at their places (IoU of 0.5 on); else what its words speak
    of, as grounding afterwards finds it. Evidence that is wrong is thus not cited.
    """
    regions = shown.regions[: len(numbers)]  # of the first image, as the sentences' regions are
    known = any(sentence.regions for sentence in report.sentences)
    sentences = report.sentences if known else ground_sentences(report.text, regions, load_labels(), shown.size_px)
    cited = [[n for n, r in zip(numbers, regions, strict=False) if _speaks_of(s, r, known)] for s in sentences]
    if not any(cited):
        return report.text
    return " ".join(_with(sentence.text, found) for sentence, found in zip(sentences, cited, strict=True))


def _speaks_of(sentence: Sentence, region: Region, is_truth: bool) -> bool:
    if not is_truth:
        return any(spoken is region for spoken in sentence.regions)
    true = [spoken.box_xyxy_px for spoken in sentence.regions if spoken.phrase == region.phrase]
    return bool(true) and bool((iou(region.box_xyxy_px[None], np.stack(true)) >= SAME_PLACE_IOU).any())


def _with(text: str, numbers: Sequence[int]) -> str:
    """`A nodule [1].`: as models of public sets write it."""
    body = text.rstrip(".!?")
    return with_citations(body, numbers) + text[len(body) :]
