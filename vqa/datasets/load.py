"""Question sets by name: `load_questions("vqa_rad", root, "official", part="test")`, the same for every set."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ...grounding.bad_input import BadInput, Skipped, nearest
from ...grounding.datasets.corpus import data_folder
from ..task import Question
from . import jsonl, pathvqa, slake, vqa_rad
from .rows import QuestionRow, to_questions
from .splits import arrange, split_named

Item = TypeVar("Item", QuestionRow, Question)
Reader = Callable[[Path, Skipped], list[QuestionRow]]

READERS: dict[str, Reader] = {
    "vqa_rad": vqa_rad.read_rows,
    "slake": slake.read_rows,
    "pathvqa": pathvqa.read_rows,
    "jsonl": jsonl.read_rows,
}
"""Readers of text alone, by name; what each set is stands in its module's docstring."""

NAMES = (*READERS, "phantom")
"""Every set that `load_questions` knows."""


def load_rows(
    name: str,
    root: Path | None = None,
    split: str = "official",
    *,
    part: str | None = None,
    language: str = "en",
    val_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[list[QuestionRow], Skipped]:
    """The rows of a set, no image needed; rows without a usable text are listed.

    `root`: its folder, else that of its name below MEDGLIP_DATA. `split`: a name of `splits`; `part`: train, val or
    test, all when left out. `language`: of SLAKE alone. `val_fraction`, `seed`: of `image_grouped` alone.
    Raises `BadInput` for an unknown name, split or part, a folder without the set, and a part without rows.
    """
    if name not in READERS:
        raise BadInput(f"unknown question set {name!r}.", fix=nearest(name, READERS))
    named, skipped = split_named(split), Skipped()
    folder = data_folder(root or Path(name))
    found = slake.read_rows(folder, skipped, language) if name == "slake" else READERS[name](folder, skipped)
    rows = arrange(found, named, seed=seed, val_fraction=val_fraction)
    return _part(rows, part, [row.part for row in rows], folder, skipped), skipped


def load_questions(
    name: str,
    root: Path | None = None,
    split: str = "official",
    *,
    part: str | None = None,
    language: str = "en",
    val_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[list[Question], Skipped]:
    """The questions of a set, ready to be asked; arguments and errors as `load_rows`, `phantom` among the names.

    Rows without a usable image are in the list of what was left out, with file and row; `BadInput` where all are.
    """
    if name == "phantom":
        split_named(split)  # all three are one: no two parts share a draw
        return _phantom(data_folder(root or Path(name)), part), Skipped()
    rows, skipped = load_rows(name, root, split, part=part, language=language, val_fraction=val_fraction, seed=seed)
    folder = data_folder(root or Path(name))
    known = slake.images(folder, skipped) if name == "slake" else {}
    if not (questions := to_questions(rows, skipped, known)):
        raise BadInput(f"no question has its image; {skipped.summary()}.", file=folder, fix="put the images there")
    return questions, skipped


def _phantom(folder: Path, part: str | None) -> list[Question]:
    from ...grounding.datasets.phantoms import dataset as images
    from . import phantom

    questions = phantom.read_questions(folder, images.read(folder))
    return _part(questions, part, [question.image.split for question in questions], folder, Skipped())


def _part(items: list[Item], part: str | None, parts: list[str], folder: Path, skipped: Skipped) -> list[Item]:
    found = [item for item, its in zip(items, parts, strict=True) if part in (None, its)]
    if not found:
        problem = f"no usable row of {part or 'any part'}; {skipped.summary()}."
        raise BadInput(problem, file=folder, fix=f"parts with rows: {', '.join(sorted(set(parts))) or 'none'}")
    return found
