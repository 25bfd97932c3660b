"""What every table of questions holds a model against: `rules` on the regions found, and floors that see no image."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from ...eval.floors import FLOORS, AskedQuestion, floor_records
from ...eval.records import Record
from ...grounding.evidence.sources import evidence_for
from ...grounding.files import write_atomic
from ...grounding.run_folder import RunFolder
from ...vqa.inference.rules import NAME as RULES
from ...vqa.inference.rules import RULES_EVIDENCE, rules_record
from ...vqa.task import Question
from .pipeline import Pipeline

REFERENCES = (RULES, *FLOORS)
"""Their names, in the order in which tables show them."""


def write_references(pipeline: Pipeline, folder: Path) -> None:
    """Records of the scored questions by each of `REFERENCES`, `folder/records/vqa-rules.jsonl`; made anew each time.

    Nothing where no questions are asked; no floors where none teach.
    """
    questions = cast(list[Question], pipeline.items["vqa"])
    predicted = pipeline.caches.predicted if questions else {}
    # images that cannot be read have no regions, and no model answers on them
    asked = [
        question
        for question in questions
        if question.image.split == pipeline.recipe.eval_split
        and all(image.image_id in predicted for image in question.images)
    ]
    if not asked:
        return
    records = records_by_rules(pipeline, asked)
    made: dict[str, Sequence[Any]] = {RULES: records}
    if train := [_taught(question) for question in questions if question.image.split == "train"]:
        made |= floor_records(records, train)
    for name, rows in made.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_atomic(RunFolder(folder).record_file("vqa", name), "".join(lines))


def records_by_rules(pipeline: Pipeline, questions: Sequence[Question]) -> list[Record]:
    """Answers of the rules to the questions, from the regions found."""
    queries = [pipeline.query(question) for question in questions]
    found = evidence_for("predicted", queries, pipeline.caches.without_masks(RULES_EVIDENCE), RULES_EVIDENCE)
    rows: list[Any] = []
    for question, evidence in zip(questions, found, strict=True):
        job = question.job(question.to_example(evidence), RULES_EVIDENCE, {})
        rows.append(asdict(rules_record(job, pipeline.vocabulary)))
    return cast(list[Record], rows)


def _taught(question: Question) -> AskedQuestion:
    return AskedQuestion(
        question=question.question,
        answer=question.answer,
        image_id=question.image.image_id,
        question_type=question.content_type,
        answer_type=question.answer_type,
    )
