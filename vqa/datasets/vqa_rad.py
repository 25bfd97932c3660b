"""VQA-RAD: radiology questions by clinicians on 314 images of the head, the chest and the abdomen; three layouts.

- Public: `VQA_RAD Dataset Public.json`, a list of {qid, phrase_type, qid_linked_id, image_case_url, image_name,
  image_organ, evaluation, question, question_rephrase, question_relation, question_frame, question_type, answer,
  answer_type}, beside `VQA_RAD Image Folder/synpicN.jpg`. Test rows say `test_freeform` or `test_para`.
- MEVF: `trainset.json`, `testset.json` (optional), `images/synpicN.jpg`; the same columns without the linked ones.
- Hub: image, question and answer alone (see `hub.py`).

Source: Lau et al., A dataset of clinically generated visual questions and answers about radiology images, Sci Data 2018
(osf.io/89kps). Licence: CC0 1.0. Size: 3064 training rows (1797 without `frame`), 451 test rows on 203 images; the hub
has 1793 and 451, duplicates dropped, and no `frame` rows.
Labels: questions and answers by clinicians; `para` and `frame` rows are rewordings of `freeform` ones. In the MEVF form
`frame` rows reword test questions too; the public form has them as the column `question_frame` of every row, from which
they are made here, each in train, as MEVF has it.
Modality: the rows do not state it. By the paper's selection CHEST is a radiograph and ABD a CT slice; HEAD is CT or MR,
so it stays `unknown`, and no answer is used to guess it.
Split: the official one shares all 203 test images with training. Our `val` is grouped by image: no image in both
`train` and `val`. Read with a test set at hand, `test` still holds images of `train`; say so beside every figure, or
take `image_grouped` (see `splits.py`).
"""

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import model_validator

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import data_folder
from ..task import Question
from . import hub
from .public import PublicSettings, read_public
from .rows import FRAME, QuestionRow, answer_type_of, build_rows, json_list, text_of
from .sets import ReadContext, SplitScheme

COLUMNS = ("qid", "image_name", "image_organ", "answer", "answer_type", "question_type", "question", "phrase_type")
PUBLIC = "VQA_RAD Dataset Public.json"
MODALITY_OF_ORGAN = {"chest": "xray", "abd": "ct", "head": "unknown"}
_TYPE_NAMES = {"atrib": "attrib", "prse": "pres"}


class VqaRadSettings(PublicSettings):
    """Where VQA-RAD lies and which of its rows are read."""

    path: Path = Path("vqa_rad")
    """Folder of any of the three layouts; relative to the environment's MEDGLIP_DATA."""
    split_scheme: SplitScheme = "official_no_frame"
    """official (with the 1267 `frame` rows, many near copies of test questions), official_no_frame (the papers' 1797
    training rows) or image_grouped (no image in two splits)."""

    @model_validator(mode="before")
    @classmethod
    def _old_spelling(cls, values: Any) -> Any:
        """Recipes before `split_scheme` say `include_frame`."""
        if isinstance(values, dict) and "include_frame" in values:
            values = dict(values)
            if values.pop("include_frame"):
                values.setdefault("split_scheme", "official")
        return values


def read(settings: VqaRadSettings, context: ReadContext, skipped: Skipped) -> list[Question]:
    """The questions of the settings' splits, in a recipe with a `val` of whole images drawn from train.

    Rows with a missing column, an empty question or answer, an unknown answer type or an unreadable image are skipped.
    Raises `BadInput` when the folder, its files or every one of the rows is unusable; in a recipe, those of train.
    """
    rows = read_rows(settings, skipped)
    if context.draws_val and not any(row.split == "train" for row in rows):
        file = _file(data_folder(settings.path))
        raise BadInput(f"no usable row of train; {skipped.summary()}", file=file, fix="see vqa_rad.py")
    return read_public(settings, rows, context, skipped)


def read_rows(settings: VqaRadSettings, skipped: Skipped) -> list[QuestionRow]:
    """The rows of `train` and `test` in whichever layout the folder has, `frame` rows among them; no image is opened.

    Raises `BadInput` for a folder in none of the layouts.
    """
    folder = data_folder(settings.path)
    if (folder / PUBLIC).is_file():
        return _read_public(folder / PUBLIC, skipped)
    if hub.files_of(folder) and not _file(folder).is_file():  # a set with ids goes before one without
        return hub.read_rows(folder, "vqa_rad", skipped)
    files = {"train": folder / "trainset.json", "test": folder / "testset.json"}
    if not any(file.is_file() for file in files.values()):
        raise BadInput("no such file.", file=files["train"], fix=f"or {PUBLIC!r}, or the hub's Parquet files")
    rows: list[QuestionRow] = []
    for split, file in files.items():
        if file.is_file():
            build = partial(_fields, images=folder / "images")
            rows += build_rows(file, json_list(file), COLUMNS, build, skipped, dataset="vqa_rad", split=split)
    return rows


def _file(folder: Path) -> Path:
    return next((f for f in (folder / PUBLIC, folder / "trainset.json") if f.is_file()), folder / "trainset.json")


def _read_public(file: Path, skipped: Skipped) -> list[QuestionRow]:
    """Every row, and one of phrase type `frame` for each that has a `question_frame`."""
    images = file.parent / "VQA_RAD Image Folder"

    # phrase_type: freeform, para and, in test, test_freeform, test_para
    def build(row: dict[str, Any], number: int) -> dict[str, Any]:
        is_test = str(row["phrase_type"]).strip().lower().startswith("test_")
        return _fields(row, number, images) | {"split": "test" if is_test else "train"}

    def build_frame(row: dict[str, Any], number: int) -> dict[str, Any] | None:
        if str(row.get("question_frame") or "").strip().upper() in ("", "NULL", "NAN"):
            return None
        fields = {"question_id": f"vqa_rad-{row['qid']}-frame", "split": "train", "phrase_type": FRAME}
        return _fields(row, number, images) | fields | {"question": text_of(row, "question_frame")}

    rows = json_list(file)
    read = build_rows(file, rows, COLUMNS, build, skipped, dataset="vqa_rad")
    # a bad row is named once
    return read + build_rows(file, rows, COLUMNS, build_frame, Skipped(), dataset="vqa_rad")


def _fields(row: dict[str, Any], _number: int, images: Path) -> dict[str, Any]:
    image = images / Path(text_of(row, "image_name")).name
    # a question may have several types, two are misspelt in the file: "PRES, ATRIB" becomes "pres, attrib"
    types = [word.strip().lower() for word in str(row["question_type"]).split(",")]
    return {
        "question_id": f"vqa_rad-{row['qid']}",
        "images": {image.name: image},
        "answer_type": answer_type_of(row),
        "content_type": ", ".join(_TYPE_NAMES.get(word, word) for word in types if word),
        "phrase_type": str(row["phrase_type"]).strip().lower().removeprefix("test_"),
        "modality": MODALITY_OF_ORGAN.get(str(row["image_organ"]).strip().lower(), "unknown"),
    }
