"""`medglip vqa ask`: one question about one image or several, answered with the evidence beside it."""

from collections.abc import Sequence
from pathlib import Path

from ...grounding.evidence.evidence import Evidence, Source, select
from ...grounding.evidence.sources import Query
from ...grounding.types import NOTICE, AnnotatedImage
from ...vqa.answer import asks_yes_or_no, parse_answer
from ...vqa.citations import numbers_shown, parse_citations
from ...vqa.inference.confidence import Sure, answer
from ...vqa.inference.generate import GenerateSettings
from ...vqa.task import Question
from .picture import draw
from .system import FinishedRun


def ask(
    finished: FinishedRun, images: Sequence[AnnotatedImage], question: str, source: Source, show: Path | None = None
) -> list[str]:
    """The lines to say: evidence, answer, how sure, notice. Regions are looked for in every image.

    `show`: folder for the first image's picture with its regions.
    """
    first, *others = images
    query = finished.query(first, question, others)
    evidence = select(finished.evidence(query, source), finished.shown)
    item = Question(
        question_id="ask",
        image=first,
        others=tuple(others),
        question=question,
        answer="",
        answer_type="open",
        phrases=query.asked,
    )
    said = answer(
        finished.model(source),
        item.to_example(evidence),
        finished.evidence_settings(source),
        GenerateSettings(max_new_tokens=16),
        is_closed=asks_yes_or_no(question),
    )
    lines = [*_evidence_lines(evidence, query), *_answer_lines(finished, said, evidence, source), NOTICE]
    if show:
        show.mkdir(parents=True, exist_ok=True)
        lines.append(f"picture: {show / draw(first, query.phrases, evidence.regions, show)['picture']}")
    return lines


def _evidence_lines(evidence: Evidence, query: Query) -> list[str]:
    lines = [
        f"evidence {number}: {region.phrase} {region.score:.2f} at {[round(float(x)) for x in region.box_xyxy_px]}"
        + (f" in image {image}" if evidence.others else "")
        for number, (image, region) in enumerate(evidence.numbered, 1)
    ]
    if evidence.source == "none":
        return []
    if not lines:
        lines = [f"evidence: no region found, looked for {', '.join(query.phrases) or 'nothing: give --modality'}"]
    if query.asked and not query.usual:
        # a modality is not guessed: of an unknown one the core finds brains in chests
        lines.append("looked for the question's own phrases alone; with --modality also for what is usual there")
    return lines


def _answer_lines(finished: FinishedRun, said: Sure, evidence: Evidence, source: Source) -> list[str]:
    settings, text, lines = finished.evidence_settings(source), said.text, []
    if settings.cite:
        found = parse_citations(text, len(numbers_shown(select(evidence, settings), settings)))
        text = found.text
        lines = [f"cites: {', '.join(f'[{number}]' for number in found.cited) or 'nothing'}"]
        lines += [f"cites, though it is not there: [{number}]" for number in found.missing]
    sure = f"probability: {said.probability:.2f} a token" + ("" if said.yes is None else f", of yes: {said.yes:.2f}")
    return [f"answer: {parse_answer(text, 'open')}", sure, *lines]
