"""A question as its file has it, before any image is opened: what every reader of this folder returns, and its checks.

file -> `QuestionRow` (text alone: for statistics, splits and leaks) -> `Question` (its images opened: to be asked).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tqdm.auto import tqdm

from ...grounding.bad_input import ROW_ERRORS, BadInput, Skipped, explain_row
from ...grounding.foreign import read_json
from ...grounding.imaging.read import read_image
from ...grounding.types import AnnotatedImage
from ...grounding.vocabulary.labels import load_labels
from ..task import AnswerType, Question

SPLIT_NAMES = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
"""Our names of the splits by those of the files."""
FRAME = "frame"
"""The phrase type of VQA-RAD's rewordings in a fixed frame ("Is/Are there ..."): many reword test questions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QuestionRow:
    """One row of a set. `images`: file of each image id, at least one; nobody looked whether it is there.

    `split`: train, val or test. `phrase_type`: as written in lower case, "" where the set has none; `frame` marks
    rewordings in a fixed frame. `group`: what splits keep whole, the first image id where it is empty. `file`, `row`:
    where it was read.
    """

    question_id: str
    dataset: str
    split: str
    images: Mapping[str, Path]
    question: str
    answer: str
    answer_type: AnswerType
    content_type: str = ""
    phrase_type: str = ""
    modality: str = "unknown"
    group: str = ""
    file: Path
    row: int


Build = Callable[[dict[str, Any], int], dict[str, Any] | None]


def build_rows(
    file: Path, rows: Iterable[Any], columns: Sequence[str], build: Build, skipped: Skipped, **common: Any
) -> list[QuestionRow]:
    """The objects of a file as rows; those that `build` refuses go to `skipped`.

    `build` turns an object and its number, from 1, into fields of the row, None where it is left out on purpose.
    `common`: fields of all rows. Question and answer come from their columns, the answer's type from `yes_no_type`,
    file and number from here, where neither gives them.
    """
    built: list[QuestionRow] = []
    for number, row in enumerate(rows, 1):
        try:
            if not isinstance(row, dict):
                raise BadInput("not a JSON object.", fix="remove the row")
            if missing := [column for column in columns if column not in row]:
                raise BadInput(f"no {', '.join(missing)}.", fix="add the columns or remove the row")
            if (own := build(row, number)) is not None:
                fields: dict[str, Any] = {"file": file, "row": number, **common, **own}
                fields = {name: text_of(row, name) for name in ("question", "answer") if name not in fields} | fields
                built.append(QuestionRow(**{"answer_type": yes_no_type(fields["answer"]), **fields}))
        except ROW_ERRORS as error:
            error = explain_row(error, file, number)
            skipped.add(f"{file.name} row {number}", BadInput(error.problem, file=file, row=number, fix=error.fix))
    return built


def json_list(file: Path) -> list[Any]:
    """The rows of a JSON file. Raises `BadInput` for a missing or torn file and for anything but a list."""
    rows = read_json(file, "download the file again")
    if not isinstance(rows, list):
        raise BadInput("not a list of rows.", file=file, fix="download the file again")
    return rows


def text_of(row: Mapping[str, Any], column: str) -> str:
    """The text of a column, blanks in a row as one, none at the ends; numbers become text.

    Raises `BadInput` for an empty text, and for what is neither text nor number.
    """
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:  # NaN is an empty cell
        raise BadInput(f"{column} is {value!r}.", fix="give a text, or remove the row")
    if not (text := " ".join(str(value).split())):
        raise BadInput(f"empty {column}.", fix="remove the row")
    return text


def answer_type_of(row: Mapping[str, Any]) -> AnswerType:
    """From the column `answer_type`, in any case and with blanks. Raises `BadInput` for any other word."""
    name = str(row["answer_type"]).strip().lower()
    if name not in ("open", "closed"):
        raise BadInput(f"answer_type is {row['answer_type']!r}.", fix="OPEN or CLOSED")
    return cast(AnswerType, name)


def check_values(row: Mapping[str, Any], file: Path, number: int) -> None:
    """Raises `BadInput` where `answer_type` is not open or closed, or `phrases` is no list of texts."""
    if row["answer_type"] not in ("open", "closed"):
        raise BadInput(f"answer_type is {row['answer_type']!r}.", file=file, row=number, fix="open or closed")
    if not isinstance(row["phrases"], list) or not all(isinstance(phrase, str) for phrase in row["phrases"]):
        raise BadInput(f"phrases is {row['phrases']!r}.", file=file, row=number, fix="a list of labels")


def yes_no_type(answer: str) -> AnswerType:
    """Of a set that does not say it: closed are yes and no alone."""
    return "closed" if answer.strip(" .").lower() in ("yes", "no") else "open"


def to_questions(
    rows: Sequence[QuestionRow], skipped: Skipped, known: Mapping[Path, AnnotatedImage] | None = None
) -> list[Question]:
    """The rows as questions, in order; every image is decoded to its end, so that a torn one is found here.

    `known`: images with regions by image file. A row of which an image is missing or torn goes to `skipped`.
    """
    known, tree, questions = known or {}, load_labels(), list[Question]()
    sizes: dict[Path, tuple[int, int] | BadInput] = {}  # many questions share one image, which is read once
    for row in tqdm(rows, desc="images of questions", unit="row", disable=None):
        try:
            first, *others = (_open_image(row, name, file, sizes, known.get(file)) for name, file in row.images.items())
        except ROW_ERRORS as error:
            skipped.add(f"{row.file.name} row {row.row}", explain_row(error, row.file, row.row))
            continue
        questions.append(
            Question(
                question_id=row.question_id,
                image=first,
                others=tuple(others),
                question=row.question,
                answer=row.answer,
                answer_type=row.answer_type,
                phrases=tree.phrases_in(row.question),
                content_type=row.content_type,
                phrase_type=row.phrase_type,
            )
        )
    return questions


def _open_image(
    row: QuestionRow, name: str, file: Path, sizes: dict[Path, tuple[int, int] | BadInput], known: AnnotatedImage | None
) -> AnnotatedImage:
    if file not in sizes:
        try:
            sizes[file] = read_image(file).size
        except ROW_ERRORS as error:
            sizes[file] = explain_row(error, file)
    size = sizes[file]
    if isinstance(size, BadInput):
        raise BadInput(f"image {file.name}: {size.problem}", file=row.file, row=row.row, fix=size.fix)
    return AnnotatedImage(
        image_id=f"{row.dataset}/{name}",
        image_path=file,
        modality=row.modality,
        group=row.group or next(iter(row.images)),
        dataset=row.dataset,
        split=row.split,
        size_px=size,
        regions=known.regions if known else (),
        phrases=known.phrases if known else (),
    )
