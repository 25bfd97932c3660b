"""VQA-RAD in the MEVF form: radiology questions by clinicians on 314 images of the head, the chest and the abdomen.

Layout: `<path>/trainset.json`, `<path>/testset.json` (optional), `<path>/images/synpicN.jpg`; each JSON file a list of
{qid, image_name, image_organ, answer, answer_type, question_type, question, phrase_type}.
Source: Lau et al., A dataset of clinically generated visual questions and answers about radiology images, Sci Data 2018
(osf.io/89kps). Licence: CC0 1.0. Size: 3064 training rows (1797 without `frame`), 451 test rows on 203 images.
Labels: questions and answers by clinicians; `para` and `frame` rows are rewordings of `freeform` ones.
Modality: the rows do not state it. By the paper's selection CHEST is a radiograph and ABD a CT slice; HEAD is CT or MR,
so it stays `unknown`, and no answer is used to guess it.
Split: the official one shares all 203 test images with training. Our `val` is grouped by image: no image in both
`train` and `val`. Read with a test set at hand, `test` still holds images of `train`; say so beside every figure.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import data_folder, held_out
from ...grounding.imaging.read import read_image
from ...grounding.labels import LabelTree, load_labels
from ...grounding.settings import Settings
from ...grounding.types import Study
from ..task import AnswerType, Question

COLUMNS = ("qid", "image_name", "image_organ", "answer", "answer_type", "question_type", "question", "phrase_type")
MODALITY_OF_ORGAN = {"chest": "xray", "abd": "ct", "head": "unknown"}
_TYPE_NAMES = {"atrib": "attrib", "prse": "pres"}  # misspelt in the file


class VqaRadSettings(Settings):
    """Where VQA-RAD lies and which of its rows are read."""

    path: Path = Path("vqa_rad")
    """Folder with trainset.json and images; relative to the environment's MEDGLIP_DATA."""
    include_frame: bool = False
    """Also read the 1267 `frame` rows, many near copies of test questions; the papers' 1797 rows leave them out."""
    val_fraction: float = 0.2
    """Part of the training images that become the split `val`."""
    limit: int | None = None
    """At most so many questions a file, in file order; all of them when left out."""


def read(settings: VqaRadSettings, seed: int) -> tuple[list[Question], Skipped]:
    """The questions of `train`, `val` and, where testset.json is there, `test`, in file order, and the rows left out.

    Rows with a missing column, an empty question or answer, an unknown answer type or an unreadable image are skipped.
    Raises `BadInput` when the folder, trainset.json or every one of its rows is unusable.
    """
    folder = data_folder(settings.path)
    skipped, tree = Skipped(), load_labels()
    train = _read_file(folder / "trainset.json", "train", settings, tree, skipped)
    if not train:
        raise BadInput(f"no usable row; {skipped.summary()}", file=folder / "trainset.json", fix="see vqa_rad.py")
    test_file = folder / "testset.json"
    test = _read_file(test_file, "test", settings, tree, skipped) if test_file.is_file() else []
    val = held_out([question.study.group for question in train], settings.val_fraction, seed)
    return [_to_split(q, "val") if q.study.group in val else q for q in train] + test, skipped


def _to_split(question: Question, split: str) -> Question:
    return replace(question, study=replace(question.study, split=split))


def _read_file(file: Path, split: str, settings: VqaRadSettings, tree: LabelTree, skipped: Skipped) -> list[Question]:
    questions: list[Question] = []
    studies: dict[str, Study] = {}
    for number, row in enumerate(_rows(file), 1):
        try:
            _check(row, file, number)
            if row["phrase_type"] == "frame" and not settings.include_frame:
                continue
            if row["image_name"] not in studies:
                studies[row["image_name"]] = _study(row, file, number, split)
            questions.append(_question(row, studies[row["image_name"]], tree))
        except BadInput as error:
            skipped.add(f"{file.name} row {number}", error)
        if len(questions) == settings.limit:
            break
    return questions


def _rows(file: Path) -> list[Any]:
    if not file.is_file():
        raise BadInput("no such file.", file=file, fix="download VQA-RAD in the MEVF form; the layout is in vqa_rad.py")
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"not valid JSON: {error}", file=file, fix="download the file again") from error
    if not isinstance(rows, list):
        raise BadInput("not a list of rows.", file=file, fix="the MEVF form is one JSON list")
    return rows


def _check(row: Any, file: Path, number: int) -> None:
    """Raises `BadInput` for a row that cannot become a question."""
    if not isinstance(row, dict):
        raise BadInput("not a JSON object.", file=file, row=number, fix="remove the row")
    missing = [column for column in COLUMNS if column not in row]
    if missing:
        raise BadInput(f"no {', '.join(missing)}.", file=file, row=number, fix="add the columns or remove the row")
    for column in ("question", "answer"):
        if not str(row[column]).strip():
            raise BadInput(f"empty {column}.", file=file, row=number, fix="remove the row")
    if _answer_type(row) is None:
        problem = f"answer_type is {row['answer_type']!r}."
        raise BadInput(problem, file=file, row=number, fix="OPEN or CLOSED")


def _answer_type(row: dict[str, Any]) -> AnswerType | None:
    kinds: dict[str, AnswerType] = {"open": "open", "closed": "closed"}
    return kinds.get(str(row["answer_type"]).strip().lower())


def _study(row: dict[str, Any], file: Path, number: int, split: str) -> Study:
    """The study of the row's image. Raises `BadInput` if the image cannot be read."""
    path = file.parent / "images" / str(row["image_name"])
    return Study(
        study_id=f"vqa_rad/{path.name}",
        image_path=path,
        modality=MODALITY_OF_ORGAN.get(str(row["image_organ"]).strip().lower(), "unknown"),
        group=path.name,
        dataset="vqa_rad",
        split=split,
        size_px=_size(path, file, number),
    )


def _size(path: Path, file: Path, number: int) -> tuple[int, int]:
    try:
        return read_image(path).size  # decoded to its end, so that a torn file is found here and not in training
    except BadInput as error:
        raise BadInput(f"image {path.name}: {error.problem}", file=file, row=number, fix=error.fix) from error


def _question(row: dict[str, Any], study: Study, tree: LabelTree) -> Question:
    answer_type = _answer_type(row)
    assert answer_type is not None, "checked in _check"
    text = " ".join(str(row["question"]).split())
    return Question(
        question_id=f"vqa_rad-{row['qid']}",
        study=study,
        question=text,
        answer=str(row["answer"]).strip(),
        answer_type=answer_type,
        phrases=tree.phrases_in(text),
        content_type=", ".join(_content_types(str(row["question_type"]))),
    )


def _content_types(text: str) -> list[str]:
    """["pres", "attrib"] of "PRES, ATRIB": a question may have several types, two are misspelt in the file."""
    words = [word.strip().lower() for word in text.split(",")]
    return [_TYPE_NAMES.get(word, word) for word in words if word]
