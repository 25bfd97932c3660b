"""`medglip vqa ask`: one question about one image or several, answered with the evidence beside it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...grounding.evidence.citable import numbers_shown
from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.evidence.names import Source
from ...grounding.evidence.sources import Look, Query
from ...grounding.files import sha256, write_atomic
from ...grounding.imaging.read import keep_images, png_bytes
from ...grounding.types import NOTICE, AnnotatedImage, Region
from ...grounding.vocabulary.citations import parse_citations
from ...grounding.vocabulary.learned import Vocabulary
from ...grounding.vocabulary.places import Frame, name_sides, turn_sides
from ...vqa.answer import asks_yes_or_no, parse_answer
from ...vqa.inference.confidence import Confidence, read_confidence
from ...vqa.inference.generate import ScoredAnswer
from ...vqa.inference.rules import ABSTENTION, RULES_EVIDENCE, unknown_name
from ...vqa.inference.rules import NAME as RULES
from ...vqa.prompt.prompt import Example
from ...vqa.task import example_of
from .finder import draw_on_image
from .system import TrainedSystem
from .trust.knowledge import Known, Learned, know, modality_lines, phrase_lines, unlabelled_line
from .trust.sides import bare_frame, frame_by_region, patient_left, side_note, taken_for
from .trust.verdict import judge, judge_rules, regions_instead


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question with its answer. `source`: of the evidence; `settings`: what was shown of it.

    `example`: what the model was given; None where the regions alone answered. `held`: why the answer is held
    back, "" where it is not. `notes`: what the grounder knows of image and phrases, whose sides are named; `known`: of
    the first image.
    """

    images: Sequence[AnnotatedImage]
    question: str
    source: Source
    query: Query
    answered: ScoredAnswer
    settings: EvidenceSettings
    example: Example | None = None
    notice: str = NOTICE
    said: str = ""
    held: str = ""
    notes: Sequence[str] = ()
    known: Known = field(default_factory=Known)

    @property
    def by_rules(self) -> str:
        """Why the regions alone answered, not the model; "" where it did."""
        return self.answered.by_rules

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
        """The answer in plain words, each side with its frame; that there is none, where it is held back."""
        return ABSTENTION if self.held else self.said

    @property
    def lines(self) -> list[str]:
        """Notes, evidence, answer, its probability, notice: for the terminal."""
        lines = _evidence_lines(self.answered.evidence, self.query) if self.has_evidence else []
        return [*self.notes, *lines, *_answer_lines(self), self.notice]


def ask_question(
    finished: TrainedSystem,
    images: Sequence[AnnotatedImage],
    question: str,
    source: Source,
    side: Frame | None = None,
    given: Evidence | None = None,
) -> Asked:
    """The answer to a question about images. Regions are looked for in every image.

    The regions alone answer where they know more than the model (`regions_instead`); an answer that nothing supports is
    held back (`judge`). `side`: whose left and right is meant and told, where it is known how the first image lies.
    `given`: the evidence of a control or of the user, where nothing is looked for; its source is `source`.
    """
    with keep_images(*(image.image_path for image in images)):  # before a model takes its memory
        query = finished.query(images[0], question, images[1:])
        look: Look = finished.look(query, source) if given is None else lambda _: given
        shown, example = look(finished.shown), None
        known = know(finished.finder, images[0], finished.vocabulary) if source != "none" else Known()
        left = patient_left(images[0], _regions(shown)) if side else ""

        def told_to(frame: Frame) -> str:
            return turn_sides(question) if side and side != frame and left == "right" else question

        answered = regions_instead(finished, told_to("image"), query, look, source, known.modality)
        frame: Frame = "image" if answered else bare_frame(finished.recipe, finished.adapter(source), "vqa")
        if not answered:
            example = example_of(told_to(frame), query, shown)
            answered = finished.answer(told_to(frame), example, source, is_closed=asks_yes_or_no(question))
    settings = finished.evidence_settings(source)
    text = _plain(answered, settings)
    bare = _bare(question, text, query, _regions(answered.evidence)) or frame
    asked = Asked(
        images=images,
        question=question,
        source=source,
        query=query,
        answered=answered,
        settings=settings,
        example=example,
        said=name_sides(text, bare, side, left),
        held="" if answered.by_rules else _why_held(finished, answered, text, question, query, source, known.modality),
        known=known,
    )
    is_open = not side and turn_sides(question) != question
    sides = [side_note(side, left)] if side else [taken_for(frame)] if is_open else []
    return replace(asked, notes=[*_notes(asked, finished.vocabulary), *sides])


def _why_held(
    finished: TrainedSystem,
    answered: ScoredAnswer,
    text: str,
    question: str,
    query: Query,
    source: Source,
    modality: str,
) -> str:
    """Why an answer, `text` in plain words, is held back; "" where it is given."""
    learned, min_score = Learned(finished.vocabulary, modality), finished.evidence_settings(source).min_score
    if str(finished.folder) == RULES:
        return judge_rules(answered, query, learned, min_score)
    confidence = read_confidence(finished.adapter(source)) if answered.probability is not None else Confidence()
    return judge(answered, text, question, query, confidence, learned, min_score)


def _notes(asked: Asked, vocabulary: Vocabulary) -> list[str]:
    """What the grounder knows of the image, its modality and the phrases of the question; nothing where none looked."""
    if asked.source == "none":
        return []
    notes = [*asked.known.lines, *modality_lines(asked.images[0].modality, vocabulary)]
    if not asked.has_evidence:
        return notes
    seen = [region for region in _regions(asked.answered.evidence) if region.score >= asked.settings.min_score]
    names = asked.query.first.asked
    notes += phrase_lines(names, seen, vocabulary, asked.known.modality)  # fainter ones are guesses
    return [*notes, *([unlabelled_line(name)] if not names and (name := unknown_name(asked.question)) else [])]


def _regions(shown: Evidence) -> list[Region]:
    return list(shown.first.regions) if shown.images else []


def _plain(answered: ScoredAnswer, settings: EvidenceSettings) -> str:
    """The answer without citations."""
    text = answered.text
    if settings.cite:
        text = parse_citations(text, len(numbers_shown(answered.evidence, settings))).text
    return parse_answer(text, "open")


def _bare(question: str, text: str, query: Query, regions: Sequence[Region]) -> Frame | None:
    """Whose a side of the answer is that names no frame: as the question says, or as a region shows; None: neither."""
    if named := re.search(r"\b(image|picture|patient)\b", question, re.IGNORECASE):
        return "patient" if named[1].lower() == "patient" else "image"
    asked = [region for region in regions if region.phrase in query.first.asked]
    side = re.search(r"\b(left|right)\b", text, re.IGNORECASE)
    return frame_by_region(side[1].lower(), asked, query.first.image.size_px) if side else None


def ask(
    finished: TrainedSystem,
    images: Sequence[AnnotatedImage],
    question: str,
    source: Source,
    show: Path | None = None,
    side: Frame | None = None,
) -> list[str]:
    """The lines for the terminal. `show`: folder for the first image with its regions drawn on it."""
    asked = ask_question(finished, images, question, source, side)
    return [*asked.lines, *([f"picture: {show_regions(asked, show)}"] if show else [])]


def show_regions(asked: Asked, folder: Path) -> Path:
    """Draw the evidence in the first image, into a file of the image and the question.

    No other pair has its name: images of one name in two folders, questions that begin alike or have no Latin letter.
    """
    image = asked.images[0]
    words = "-".join(re.findall(r"[a-z0-9]+", asked.question.lower()))[:60].strip("-")
    key = sha256(f"{image.image_id} {asked.question}")[:8]
    path = folder / f"{image.image_path.stem}.{words or 'question'}-{key}.evidence.png"
    write_atomic(path, png_bytes(draw_on_image(image, asked.answered.evidence.first.regions)))
    return path


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


def _answer_lines(asked: Asked) -> list[str]:
    answered, settings, lines = asked.answered, asked.settings, []
    if settings.cite and not asked.by_rules:
        citations = parse_citations(answered.text, len(numbers_shown(answered.evidence, settings)))
        lines = [f"cites: {', '.join(f'[{number}]' for number in citations.cited) or 'nothing'}"]
        lines += [f"cites a number that is not there: [{number}]" for number in citations.missing]
    if asked.by_rules:
        probability = f"by the regions alone, of score {RULES_EVIDENCE.min_score:g} or more: {asked.by_rules}"
    elif answered.probability is None:
        probability = f"by the regions alone, of score {settings.min_score:g} or more; no language model was asked"
    else:
        yes = "" if answered.yes is None else f", of yes: {answered.yes:.2f}"
        probability = f"probability: {answered.probability:.2f} per token{yes}"
    held = [f"held back: “{asked.said}”, for {asked.held}"] if asked.held else []
    return [f"answer: {asked.text}", *held, probability, *lines]
