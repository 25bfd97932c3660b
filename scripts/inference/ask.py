"""`medglip vqa ask`: one question about one image or several, answered with the evidence beside it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...grounding.evidence.citable import numbers_shown
from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.evidence.names import Source
from ...grounding.evidence.sources import Query
from ...grounding.types import NOTICE, AnnotatedImage
from ...grounding.vocabulary.citations import parse_citations
from ...vqa.answer import asks_yes_or_no, parse_answer
from ...vqa.inference.generate import ScoredAnswer
from ...vqa.prompt.prompt import Example
from ...vqa.task import Question
from .finder import draw_on_image
from .system import TrainedSystem


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question with its answer. `source`: of the evidence; `settings`: what was shown of it."""

    images: Sequence[AnnotatedImage]
    question: str
    source: Source
    query: Query
    answered: ScoredAnswer
    settings: EvidenceSettings
    notice: str = NOTICE

    @property
    def name(self) -> str:
        """The file names of the images."""
        return "; ".join(image.image_path.name for image in self.images)

    @property
    def has_evidence(self) -> bool:
        """Whether regions were looked for and shown."""
        return bool(self.answered.evidence.images)

    @property
    def text(self) -> str:
        """The answer in plain words, without citations."""
        text = self.answered.text
        if self.settings.cite:
            text = parse_citations(text, len(numbers_shown(self.answered.evidence, self.settings))).text
        return parse_answer(text, "open")

    @property
    def lines(self) -> list[str]:
        """Evidence, answer, its probability, notice: for the terminal."""
        lines = _evidence_lines(self.answered.evidence, self.query) if self.has_evidence else []
        return [*lines, *_answer_lines(self.answered, self.settings), self.notice]


def ask_question(finished: TrainedSystem, images: Sequence[AnnotatedImage], question: str, source: Source) -> Asked:
    """The answer to a question about images. Regions are looked for in every image."""
    query, example = example_of(finished, images, question, source)
    answered = finished.answer(question, example, source, is_closed=asks_yes_or_no(question))
    return Asked(
        images=images,
        question=question,
        source=source,
        query=query,
        answered=answered,
        settings=finished.evidence_settings(source),
    )


def ask(
    finished: TrainedSystem, images: Sequence[AnnotatedImage], question: str, source: Source, show: Path | None = None
) -> list[str]:
    """The lines for the terminal. `show`: folder for the first image with its regions drawn on it."""
    asked = ask_question(finished, images, question, source)
    return [*asked.lines, *([f"picture: {show_regions(asked, show)}"] if show else [])]


def show_regions(asked: Asked, folder: Path) -> Path:
    """Draw the evidence in the first image, into a file of the image and the question: no other call has its name."""
    words = "-".join(re.findall(r"[a-z0-9]+", asked.question.lower()))[:60].strip("-")
    path = folder / f"{asked.images[0].image_path.stem}.{words or 'question'}.evidence.png"
    folder.mkdir(parents=True, exist_ok=True)
    draw_on_image(asked.images[0], asked.answered.evidence.first.regions).save(path)
    return path


def example_of(
    finished: TrainedSystem, images: Sequence[AnnotatedImage], question: str, source: Source, target: str = ""
) -> tuple[Query, Example]:
    """What is looked for in the images, and the question on them with the evidence of the source."""
    first, *others = images
    query = finished.query(first, question, others)
    item = Question(
        question_id="ask",
        image=first,
        others=tuple(others),
        question=question,
        answer=target,
        answer_type="open",
        phrases=query.first.asked,
    )
    return query, item.to_example(finished.evidence(query, source))


def _evidence_lines(shown: Evidence, query: Query) -> list[str]:
    lines = [
        f"evidence {number}: {region.phrase} {region.score:.2f} at {[round(float(x)) for x in region.box_xyxy_px]}"
        + (f" in image {image}" if len(shown.images) > 1 else "")
        for number, (image, region) in enumerate(shown.numbered, 1)
    ]
    phrases = ", ".join(query.first.phrases) or "nothing: give --modality"
    # without regions say what was looked for: it may have been nothing
    lines = lines or [f"evidence: no region found, looked for {phrases}"]
    if query.first.asked and not query.first.usual:
        # a modality is not guessed: of an unknown one the core finds brains in chests
        lines.append("looked only for the phrases of the question; with --modality also for what is usual there")
    return lines


def _answer_lines(answered: ScoredAnswer, settings: EvidenceSettings) -> list[str]:
    text, citation_lines = answered.text, []
    if settings.cite:
        citations = parse_citations(text, len(numbers_shown(answered.evidence, settings)))
        text = citations.text
        citation_lines = [f"cites: {', '.join(f'[{number}]' for number in citations.cited) or 'nothing'}"]
        citation_lines += [f"cites a number that is not there: [{number}]" for number in citations.missing]
    yes = "" if answered.yes is None else f", of yes: {answered.yes:.2f}"
    if answered.probability is None:
        probability = f"by the regions alone, of score {settings.min_score:g} or more; no language model was asked"
    else:
        probability = f"probability: {answered.probability:.2f} per token{yes}"
    return [f"answer: {parse_answer(text, 'open')}", probability, *citation_lines]
