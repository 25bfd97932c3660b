"""Many questions about many images, answered one after the other by a model that stays loaded: lines, CSV, a page.

Beside `answers.csv` lies `answers.jsonl` with the regions of each answer. Rows are written as they come, so that a call
that is interrupted keeps what it has.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.evidence.names import Source
from ...grounding.files import locked, write_atomic
from ...grounding.imaging.read import read_image
from ...grounding.types import AnnotatedImage, region_to_json
from ...grounding.vocabulary.places import Frame
from ...grounding.vocabulary.sentences import Sentence
from ...report.output.grounded import GroundedReport
from ...report.output.html import pages
from ...vqa.inference.rules import NAME
from .ask import Asked, ask_question, show_regions
from .system import TrainedSystem
from .table import COLUMNS, Table


@dataclass(frozen=True, kw_only=True)
class AnswerFiles:
    """Where answers go: pictures, a table with JSON lines beside it, a page."""

    show: Path | None = None
    csv: Path | None = None
    html: Path | None = None


def answer_all(
    finished: TrainedSystem,
    groups: Sequence[Callable[[], Sequence[AnnotatedImage]]],
    questions: Iterable[str],
    source: Source,
    files: AnswerFiles,
    side: Frame | None = None,
) -> Skipped:
    """Print and write the answer to each question about each group of images; return what could not be read.

    `groups`: what reads the images that are asked of together. A single group that cannot be read raises `BadInput`,
    and so does a file that another process is writing.
    """
    with ExitStack() as held:
        for file in filter(None, (files.csv, files.html)):
            held.enter_context(locked(file.with_name(f".{file.name}.lock"), file.name))
        return _answer_each(finished, groups, questions, source, files, side)


def _answer_each(
    finished: TrainedSystem,
    groups: Sequence[Callable[[], Sequence[AnnotatedImage]]],
    questions: Iterable[str],
    source: Source,
    files: AnswerFiles,
    side: Frame | None,
) -> Skipped:
    table = Table(files.csv, COLUMNS) if files.csv else None
    lines = files.csv.with_suffix(".jsonl") if files.csv else None
    if lines:
        write_atomic(lines, "")
    skipped, answers = Skipped(), list[Asked]()
    for question in questions:
        for group in groups:
            try:
                asked = ask_question(finished, group(), question, source, side)
            except BadInput as error:
                if len(groups) == 1:
                    raise
                skipped.add((error.file and Path(error.file).name) or "image", error)
                continue
            title = f"{asked.name}: {question}"
            typer.echo("\n".join([*([title] if len(groups) > 1 else []), *asked.lines]))
            if files.show:
                typer.echo(f"picture: {show_regions(asked, files.show)}")
            if table and lines:
                table.add([(asked.name, question, asked.text, asked.answered.probability)])
                with lines.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(as_json(asked), ensure_ascii=False) + "\n")
            if files.html:
                answers.append(asked)
                write_atomic(files.html, answers_page(finished, answers))
    for path in filter(None, (files.csv, lines, files.html)):
        typer.echo(f"written: {path}")
    return skipped


def as_json(asked: Asked) -> dict[str, Any]:
    """One line of `answers.jsonl`."""
    regions = [region_to_json(region) | {"image": image} for image, region in asked.answered.evidence.numbered]
    return {
        "images": [image.image_path.name for image in asked.images],
        "modality": asked.images[0].modality,
        "question": asked.question,
        "answer": asked.text,
        "probability": asked.answered.probability,
        "probability_of_yes": asked.answered.yes,
        **({"held_back": asked.said, "why": asked.held} if asked.held else {}),
        **({"by_rules": asked.by_rules} if asked.by_rules else {}),
        **asked.known.to_json(),
        "notes": list(asked.notes),
        "evidence": asked.answered.evidence.source,
        "regions": regions,
        "notice": asked.notice,
    }


def answers_page(finished: TrainedSystem, answers: Sequence[Asked]) -> str:
    """The answers as one page like that of a report: each with its image, its regions and what made it."""
    reports = [_as_report(finished, asked) for asked in answers]
    images = [read_image(asked.images[0].image_path) for asked in answers]
    return pages(reports, images, headings=[asked.question for asked in answers], title=answers[0].name)


def _as_report(finished: TrainedSystem, asked: Asked) -> GroundedReport:
    """The answer as the one sentence of a report on its first image, which rests on what was shown of that image."""
    image, regions = asked.images[0], tuple(asked.answered.evidence.first.regions) if asked.has_evidence else ()
    probability = asked.answered.probability
    sure = "" if probability is None else f" (probability {probability:.2f})"
    adapter = finished.adapter(asked.source)
    return GroundedReport(
        report_id=image.image_path.stem,
        image=image.image_path.name,
        size_px=image.size_px,
        sentences=(Sentence(text=f"{asked.text}{sure}", regions=regions, is_negated=False),),
        regions=regions,
        modality="" if asked.known.modality == "unknown" else asked.known.modality,
        notes=(
            *asked.notes,
            *([f"held back: “{asked.said}”, for {asked.held}"] if asked.held else []),
            *([f"by the regions alone: {asked.by_rules}"] if asked.by_rules else []),
        ),
        in_distribution=asked.known.in_distribution,
        ood_score=asked.known.ood_score,
        model=NAME if asked.by_rules else finished.model_name,
        adapter=f"{adapter.parent.name}/{adapter.name}" if adapter else "",
        grounder=finished.checkpoint or finished.core_name,
        evidence=asked.answered.evidence.source,
    )
