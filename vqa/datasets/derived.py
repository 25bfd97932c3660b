"""Questions and captions derived from region sets: the JSONL of `medglip data export qa`, read as `Question`s.

Source: `vqa.derived`, from the regions of any set; nothing is downloaded. Licence: that of each set, on every line.
Labels: measured on masks and boxes and checked again. Split: that of the picture in its set, by patient where known.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...grounding.bad_input import ROW_ERRORS, BadInput, Skipped, explain_row
from ...grounding.datasets.corpus import is_inside, stay_inside
from ...grounding.datasets.rows import region
from ...grounding.files import numbered_lines
from ...grounding.types import AnnotatedImage, Region
from ...grounding.vocabulary.labels import load_labels
from ..derived.settings import DeriveSettings
from ..task import Question
from .rows import check_values
from .sets import ReadContext

if TYPE_CHECKING:
    from datasets import Dataset

CAPTION = "caption"

COLUMNS = (
    *("id", "image", "image_id", "dataset", "split", "group", "modality", "size_px", "question", "answer"),
    *("answer_type", "kind", "phrases"),
)


class DerivedQuestionSettings(DeriveSettings):
    """Which questions are derived, or where they lie."""

    path: Path | None = None
    """A file of `medglip data export qa`, taken as it is; left out: derived from the recipe's region sets."""
    allow_outside: bool = False
    """Let the images of that file lie anywhere, not below MEDGLIP_DATA or beside it alone."""
    leave_out: str = ""
    """One combination of modality, part of the body and kind of item, such as `ct/abdomen/size`: split test keeps only
    questions of it, the other splits only others."""


def read(settings: DerivedQuestionSettings, context: ReadContext, skipped: Skipped) -> list[Question]:
    """The questions in file order, captions left out; their images have true regions, of a file those that it names.

    Raises `BadInput` where there is neither a file nor a region set.
    """
    images = None
    if settings.path is not None:
        file = Path(os.environ.get("MEDGLIP_DATA", "")) / settings.path
    elif context.derive is not None:
        file, images = context.derive(
            DeriveSettings(**settings.model_dump(exclude={"path", "allow_outside", "leave_out"}))
        )
    else:
        raise BadInput("no file of derived questions.", fix="give one, written by `medglip data export qa`")
    questions = read_file(file, images, allow_outside=settings.allow_outside, with_boxes=True)
    questions = [question for question in questions if question.content_type != CAPTION]
    return leave_out(questions, settings.leave_out) if settings.leave_out else questions


def combination_of(question: Question) -> str:
    """Modality, part of the body and kind of item of a derived question: `ct/abdomen/size`.

    The part is that of the label tree for what is asked about, else for what is outlined, else as told; `any` for none.
    """
    tree = load_labels()
    phrases = question.phrases or question.image.phrases
    part = tree.body_region(phrases[0]) if phrases else question.image.body_part
    return f"{question.image.modality}/{part or 'any'}/{question.content_type.split('-')[0]}"


def leave_out(questions: Sequence[Question], combination: str) -> list[Question]:
    """Split test with the questions of one combination alone, the others without any of it.

    Each of its three parts is learned in other combinations: what is tested is putting them together. Raises `BadInput`
    where split test has none of it, with what it has, and where one of its parts is in no question that is learned.
    """
    kept = [q for q in questions if (combination_of(q) == combination) == (q.image.split == "test")]
    tested = sorted({combination_of(q) for q in questions if q.image.split == "test"})
    if combination not in tested:
        raise BadInput(f"leave_out: no test question of {combination!r}.", fix=f"one of {', '.join(tested)}")
    learned = [combination_of(q).split("/") for q in kept if q.image.split == "train"]
    for place, name in enumerate(combination.split("/")):
        if all(parts[place] != name for parts in learned):
            problem = f"leave_out: without {combination!r} no training question is of {name!r}."
            raise BadInput(problem, fix="leave out a combination whose parts are in others too")
    return kept


def read_file(
    file: Path,
    images: "Dataset | None" = None,
    kinds: Sequence[str] = (),
    *,
    allow_outside: bool = False,
    with_boxes: bool = False,
) -> list[Question]:
    """The questions in file order; with `kinds` only those, such as `("caption",)`.

    Images come from `images` with all their regions, questions on others are left out; without it they have none, or
    `with_boxes` those that the file's answers follow from (`provenance`). Image paths that are not absolute lie below
    MEDGLIP_DATA; others do so too, or beside the file, unless `allow_outside`. Raises `BadInput` naming file and row
    for a missing column or a value of the wrong kind.
    """
    if not file.is_file():
        raise BadInput("no such file.", file=file, fix="write it by `medglip data export qa`")
    from ...grounding.datasets.schema import row_to_image, upgrade_row  # imports `datasets`

    index_of = {name: k for k, name in enumerate(images["image_id"])} if images is not None else {}
    outlined = _regions_in(file) if with_boxes and images is None else {}
    known: dict[str, AnnotatedImage | None] = {}
    questions: list[Question] = []
    for number, line in numbered_lines(file):
        row = upgrade_row(line)
        _check(row, file, number)
        if kinds and row["kind"] not in kinds:
            continue
        name = row["image_id"]
        # an image with masks is decoded once for all its questions; without images a row itself says what it is
        if name not in known:
            if images is None:
                known[name] = replace(_image_of(row, file, number, allow_outside), **outlined.get(name, {}))
            else:
                known[name] = row_to_image(images[index_of[name]]) if name in index_of else None
        if (image := known[name]) is not None:
            questions.append(
                Question(
                    question_id=str(row["id"]),
                    image=image,
                    question=row["question"],
                    answer=row["answer"],
                    answer_type=row["answer_type"],
                    phrases=tuple(row["phrases"]),
                    content_type=row["kind"],
                )
            )
    return questions


def _regions_in(file: Path) -> dict[str, dict[str, Any]]:
    """By image id the `regions` and `phrases` that its rows name; a phrase that one of them calls absent has none."""
    from ...grounding.datasets.schema import upgrade_row  # imports `datasets`

    regions: dict[str, dict[tuple[Any, ...], Region]] = {}
    phrases: dict[str, dict[str, None]] = {}
    for number, line in numbered_lines(file):
        row = upgrade_row(line)
        if not isinstance(told := row.get("provenance"), dict) or not {"image_id", "size_px"} <= row.keys():
            continue
        try:
            of_image, named = regions.setdefault(row["image_id"], {}), phrases.setdefault(row["image_id"], {})
            for part in told.get("regions", ()):
                made = region(part["phrase"], np.array(part["box_xyxy_px"], np.float32), tuple(row["size_px"]))
                of_image[(made.phrase, *made.box_xyxy_px.tolist())] = made
            named |= dict.fromkeys([*(one.phrase for one in of_image.values()), *told.get("absent", ())])
        except ROW_ERRORS as error:
            raise explain_row(error, file, number) from error
    return {
        name: {"regions": tuple(found.values()), "phrases": tuple(phrases[name])} for name, found in regions.items()
    }


def _check(row: dict[str, Any], file: Path, number: int) -> None:
    if missing := [column for column in COLUMNS if column not in row]:
        raise BadInput(f"no {', '.join(missing)}.", file=file, row=number, fix="export the file again")
    for column in ("image_id", "question", "answer", "kind"):
        if not isinstance(row[column], str) or not row[column].strip():
            raise BadInput(f"{column} is {row[column]!r}.", file=file, row=number, fix="a text is needed")
    check_values(row, file, number)


def _image_of(row: dict[str, Any], file: Path, number: int, allow_outside: bool) -> AnnotatedImage:
    try:
        width, height = (int(side) for side in row["size_px"])
    except (TypeError, ValueError, OverflowError) as error:
        problem = f"size_px is {row['size_px']!r}."
        raise BadInput(problem, file=file, row=number, fix="[width, height] in pixels") from error
    names: dict[str, Any] = {name: str(row[name]) for name in ("image_id", "modality", "group", "dataset", "split")}
    name, root, beside = str(row["image"]), Path(os.environ.get("MEDGLIP_DATA", "")), file.parent.absolute()
    folder = beside if is_inside(beside, name) and (beside / name).is_file() else root
    try:
        path = stay_inside(folder, name, allow_outside)
        return AnnotatedImage(**names, image_path=path, size_px=(width, height))
    except BadInput as error:
        raise explain_row(error, file, number) from error
