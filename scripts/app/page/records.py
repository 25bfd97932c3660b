"""Records of runs for the tab Compare: which cases are right, wrong, or answered differently by two of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ....eval.page.systems import MARK, sample_values
from ....eval.records import Record, question_of, read_records, regions_by_phrase, task_of
from ....eval.score import measure
from ....eval.settings import EvalSettings
from ....grounding.bad_input import BadInput
from ....grounding.imaging.read import read_image
from ....grounding.types import Region, region_from_json
from ...page.gather import recipe_of, record_files
from ...page.pictures import ImageFinder
from .figure import figure

KINDS = ("all", "right", "wrong", "changed")
LONGEST = 4000
"""Letters of one text that are shown."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """One file of records. `marks`: id -> `right` or `wrong`, by the run's protocol; reports have none."""

    name: str
    task: str
    rows: Mapping[str, Record]
    marks: Mapping[str, str]
    finder: ImageFinder


def files_of(places: Sequence[Path]) -> dict[str, tuple[Path, Path]]:
    """Name -> (file, run) of every file of records of run folders and files. Raises `BadInput` where there is none."""
    found: dict[str, tuple[Path, Path]] = {}
    for run in places:
        for file in record_files(run):
            task_of(file)
            name = f"{run.name}/{file.stem}" if run.is_dir() else file.name
            found[name if name not in found else f"{name} ({len(found) + 1})"] = (file, run)
    return found


def read_answers(name: str, file: Path, run: Path) -> Answers:
    """The records of a file with their marks. Raises `BadInput` as `read_records` does."""
    task = task_of(file)
    records = sorted(read_records([file], task), key=lambda record: record["id"])
    recipe = recipe_of(run) if run.is_dir() else None
    marks: dict[str, float] = {}
    if MARK[task]:
        measured = measure(records, task, recipe.eval if recipe else EvalSettings())
        marks = sample_values(measured, records, MARK[task])
    return Answers(
        name=name,
        task=task,
        rows={record["id"]: record for record in records},
        marks={key: "right" if value >= 0.5 else "wrong" for key, value in marks.items()},
        finder=ImageFinder({run: recipe}, None),
    )


def cases_of(first: Answers, second: Answers | None, kind: str) -> list[str]:
    """The ids of a kind, in order: right and wrong by the first; changed: another mark, or where there is none another
    text. Raises `BadInput` for two of different tasks, and for two that share no id.
    """
    if second and second.task != first.task:
        raise BadInput(
            f"{first.name} is of {first.task}, {second.name} of {second.task}.", fix="choose two of one task"
        )
    ids = [key for key in first.rows if second is None or key in second.rows]
    if not ids:
        raise BadInput("the two share no id.", fix="choose records of the same questions")
    if kind in ("right", "wrong"):
        return [key for key in ids if first.marks.get(key) == kind]
    return [key for key in ids if kind != "changed" or (second and _is_changed(first, second, key))]


def _is_changed(first: Answers, second: Answers, key: str) -> bool:
    if key in first.marks and key in second.marks:
        return first.marks[key] != second.marks[key]
    return first.rows[key]["prediction"] != second.rows[key]["prediction"]


def case_html(both: Sequence[Answers], key: str, place: str) -> str:
    """One case: question, reference, and what each of the two said, with the regions that it was shown or found."""
    record = both[0].rows[key]
    head = f"<p>{escape(place)} · {escape(key[:200])}</p><h3>{escape(question_of(record)[:LONGEST])}</h3>"
    return (
        f'<section class="mg-case" aria-label="Case">{head}<p>Reference: {_said(record["answer"])}</p>'
        f'<div class="mg-cards">{"".join(_card(answers, key) for answers in both)}</div></section>'
    )


def _card(answers: Answers, key: str) -> str:
    record, mark = answers.rows[key], answers.marks.get(key, "")
    sure = record.get("probability")
    told = [mark, f"probability {sure:.2f}" if isinstance(sure, int | float) else "", str(record.get("evidence") or "")]
    path = answers.finder.path(record)
    picture = "<p>Its picture is not found.</p>"
    if path:
        picture = figure(read_image(path), _regions(record, answers.task), name=path.name)
    name = escape(answers.name)
    return (
        f'<section class="mg-card mg-{mark or "unmarked"}" aria-label="{name}"><h3>{name}</h3>'
        f'<p class="mg-answer">{_said(record["prediction"])}</p><p>{escape(" · ".join(filter(None, told)))}</p>'
        f"{picture}</section>"
    )


def _regions(record: Record, task: str) -> list[Region]:
    if task == "grounding":
        return [region for regions in regions_by_phrase(record, "prediction").values() for region in regions]
    return [region_from_json(row) for row in record.get("regions") or ()]


def _said(value: Any) -> str:
    """An answer or a reference as text; of regions their phrases and boxes."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        value = "; ".join(f"{row.get('phrase', '')} {row.get('box_xyxy_px')}" for row in value)
    elif isinstance(value, list):
        value = " | ".join(map(str, value)) or "no region"
    return escape(str(value)[:LONGEST])
