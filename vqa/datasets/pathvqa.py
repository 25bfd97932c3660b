"""PathVQA: questions made from the captions of pathology textbooks and of the PEIR library, on 4998 images.

- Text form, as MEVF's followers pass it on: `pvqa_{train,val,test}.json`, each a list of {img_id, sentf: {pvqa:
  [questions]}, labelf: {pvqa: [{answer: 1}]}}; question i goes with answer i. Images, where there are any, are
  `images/<split>/<img_id>.jpg`, as the raw set has them. Pickled copies are not read: a pickle can run code.
- Hub: image, question and answer alone (see `hub.py`).

Source: He et al., PathVQA: 30000+ questions for medical visual question answering, 2020, arXiv 2003.10286
(github.com/UCSD-AI4H/PathVQA; huggingface.co/datasets/flaviagiammarino/path-vqa). Licence: MIT.
Size: 19755 / 6279 / 6761 questions; the hub, duplicates dropped, 19654 / 6259 / 6719: name n beside every figure.
Labels: generated from captions by rules, so wording is stiff; no answer type, so closed are yes and no alone.
Modality: not stated, and there are photographs of organs among the micrographs, so it stays `unknown`.
Split: by image. Captions are templated: 64 train and 23 val images carry exactly the questions and answers of some test
image, 36 val images those of some train image; `image_grouped` keeps them together. Images without questions have two
empty lists.
"""

from pathlib import Path
from typing import Any

from ...grounding.bad_input import ROW_ERRORS, BadInput, Skipped, explain_row
from ...grounding.datasets.corpus import data_folder, stay_inside
from ..task import Question
from . import hub
from .public import SPLITS, PublicSettings, read_public
from .rows import QuestionRow, build_rows, json_list
from .sets import ReadContext


class PathVqaSettings(PublicSettings):
    """Where PathVQA lies and how much of it is read."""

    path: Path = Path("pathvqa")
    """Folder of either form; relative to the environment's MEDGLIP_DATA."""


def read(settings: PathVqaSettings, context: ReadContext, skipped: Skipped) -> list[Question]:
    """The questions whose image is there. Raises `BadInput` where none is."""
    return read_public(settings, read_rows(settings, skipped), context, skipped)


def read_rows(settings: PathVqaSettings, skipped: Skipped) -> list[QuestionRow]:
    """The rows of every split that is there, in either form; no image is opened.

    Raises `BadInput` for a folder in neither form.
    """
    folder = data_folder(settings.path)
    files = {split: folder / f"pvqa_{split}.json" for split in SPLITS}
    files = {split: file for split, file in files.items() if file.is_file()}
    if not files and hub.files_of(folder):
        return hub.read_rows(folder, "pathvqa", skipped)
    if not files:
        raise BadInput("no pvqa_train.json, nor Parquet files.", file=folder, fix="unpack PathVQA here")
    rows: list[QuestionRow] = []
    for split, file in files.items():
        for number, entry in enumerate(json_list(file), 1):
            try:
                rows += _rows_of_image(entry, split, file, number, skipped, settings.allow_outside)
            except ROW_ERRORS as error:
                skipped.add(f"{file.name} row {number}", explain_row(error, file, number))
    return rows


def _rows_of_image(
    entry: Any, split: str, file: Path, number: int, skipped: Skipped, allow_outside: bool
) -> list[QuestionRow]:
    """One row a question of an entry of the file. Raises `BadInput` for lists that do not match."""
    # sentf.pvqa: ["what is shown?", "is it red?"]; labelf.pvqa: [{"a cell": 1}, {"yes": 1}]
    try:
        name, questions, labels = str(entry["img_id"]), entry["sentf"]["pvqa"], entry["labelf"]["pvqa"]
        answers = [next(iter(label)) if len(label) == 1 else None for label in labels]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadInput(f"not img_id, sentf.pvqa and labelf.pvqa: {error}.", fix="download the file again") from error
    if not isinstance(questions, list) or len(questions) != len(answers):
        raise BadInput(f"{len(answers)} answers to the questions of {name}.", fix="download the file again")
    pairs = [{"question": q, "answer": a} for q, a in zip(questions, answers, strict=True)]
    path = stay_inside(file.parent, f"images/{split}/{name}.jpg", allow_outside)
    images, notes = {name: path}, Skipped()

    def build(_row: dict[str, Any], k: int) -> dict[str, Any]:
        return {"question_id": f"pathvqa-{name}-{k}", "dataset": "pathvqa", "split": split, "images": images}

    rows = build_rows(file, pairs, ("question", "answer"), build, notes, row=number)
    for note in notes.entries:  # its rows are questions of one entry of the file, and a note is to name both
        k = note["item"].rsplit(" ", 1)[1]
        skipped.entries.append({"item": f"{file.name} row {number}, question {k}", "why": note["why"]})
    return rows
