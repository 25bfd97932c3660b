"""A set of your own: `<root>/questions.jsonl`, one {image, question, answer} a line, image a path below the root.

The root may be a file as well, such as one of `medglip data export qa`: images lie beside it, in
`images` there, or below MEDGLIP_DATA.

`image` may be a list, `["front.png", "side.png"]`: a question on several images, in this order. Also read, where they
are there: id, split (train, val, test; test when left out), answer_type (else closed are yes and no), content_type,
modality, and group (patient or study, which splits keep whole). Licence and citation are yours to state.
"""

import os
from pathlib import Path
from typing import Any

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import data_folder, stay_inside
from ...grounding.files import read_lines
from ...grounding.modalities import parse_modality
from ..task import Question
from .public import PublicSettings, read_public
from .rows import SPLIT_NAMES, QuestionRow, answer_type_of, build_rows
from .sets import ReadContext

COLUMNS = ("image", "question", "answer")


class JsonlSettings(PublicSettings):
    """Where your questions lie and how much of them is read."""

    path: Path = Path("jsonl")
    """The folder of questions.jsonl, or another such file; relative to the environment's MEDGLIP_DATA."""


def read(settings: JsonlSettings, context: ReadContext, skipped: Skipped) -> list[Question]:
    """The questions whose images are there. Raises `BadInput` where none is."""
    return read_public(settings, read_rows(settings, skipped), context, skipped)


def read_rows(settings: JsonlSettings, skipped: Skipped) -> list[QuestionRow]:
    """The rows in file order; no image is opened. Raises `BadInput` for a missing file and a line that is not JSON."""
    data_dir = Path(os.environ.get("MEDGLIP_DATA", ""))
    file = data_dir / settings.path
    if not file.is_file():
        file = data_folder(settings.path) / "questions.jsonl"
    if not file.is_file():
        raise BadInput("no such file.", file=file, fix="one JSON object a line: image, question, answer")
    folder = file.parent

    def find(name: str) -> Path:
        """Beside the file or in `images` there, else below MEDGLIP_DATA; a name that leaves these is refused."""
        root = next((root for root in (folder, folder / "images", data_dir) if (root / name).exists()), folder)
        return stay_inside(root, name, settings.allow_outside)

    def build(row: dict[str, Any], number: int) -> dict[str, Any]:
        split, images = str(row.get("split", "test")).strip().lower(), row["image"]
        if split not in SPLIT_NAMES:
            raise BadInput(f"split is {row['split']!r}.", fix="train, val or test")
        names = [images] if isinstance(images, str) else images
        if not isinstance(names, list) or not names or not all(isinstance(n, str) and n.strip() for n in names):
            raise BadInput(f"image is {images!r}.", fix="a path below the folder, or a list of paths")
        # ids of images are keys: a second one of the same name would be lost
        if len(set(names)) < len(names):
            raise BadInput(f"one image twice: {names}.", fix="name each once")
        return {
            "question_id": str(row.get("id", f"{folder.name}-{number}")),
            "split": SPLIT_NAMES[split],
            "images": {name: find(name) for name in names},
            "content_type": str(row.get("content_type") or row.get("kind") or ""),
            "modality": parse_modality(row.get("modality")),
            "group": str(row.get("group") or ""),
        } | ({"answer_type": answer_type_of(row)} if row.get("answer_type") else {})

    return build_rows(file, read_lines(file), COLUMNS, build, skipped, dataset=folder.name)
