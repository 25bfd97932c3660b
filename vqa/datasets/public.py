"""What public question sets share: their settings, and rows -> splits -> questions with opened images."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field, field_validator

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import held_out, of_split
from ...grounding.settings import Settings
from ...grounding.types import AnnotatedImage
from ..task import Question
from .rows import QuestionRow, to_questions
from .sets import ReadContext, SplitScheme
from .splits import arrange

SPLITS = ("train", "val", "test")


class PublicSettings(Settings):
    """Where a set lies, how it is split, and how much of it is read."""

    path: Path
    """Its folder; relative to the environment's MEDGLIP_DATA."""
    split_scheme: SplitScheme = "official"
    """official, official_no_frame (without VQA-RAD's reworded questions) or image_grouped (no image in two splits)."""
    fold: str = ""
    """`2/5`: instead of these splits the second of five parts of the images, dealt out with the seed, is `test` and the
    rest `train`: one of the runs of `medglip vqa cross-validate`."""
    val_fraction: float = Field(default=0.2, ge=0, lt=1)
    """Part of the training images that become the split `val`, where the set has none."""
    allow_outside: bool = False
    """Whether names of images in the set may leave its folder, by `..` or an absolute path."""
    limit: int | None = None
    """At most so many questions of each split, in file order; all of them when left out."""

    @field_validator("fold")
    @classmethod
    def _check_fold(cls, value: str) -> str:
        part, _, num_parts = value.partition("/")
        if value and not (part.isdigit() and num_parts.isdigit() and 1 <= int(part) <= int(num_parts) > 1):
            raise ValueError(f"{value!r} is no fold, write 2/5")
        return value


def arrange_rows(
    settings: PublicSettings, rows: Sequence[QuestionRow], context: ReadContext, skipped: Skipped
) -> list[QuestionRow]:
    """The rows in the splits of the settings' scheme, those of `context.only_split` alone where it is given.

    Raises `BadInput` where none is left.
    """
    options = {"seed": context.seed, "val_fraction": settings.val_fraction, "fold": settings.fold}
    rows = arrange(rows, settings.split_scheme, **options)
    return of_split(rows, [row.split for row in rows], context.only_split, "row", str(settings.path), skipped)


def read_public(
    settings: PublicSettings,
    rows: Sequence[QuestionRow],
    context: ReadContext,
    skipped: Skipped,
    known: Callable[[], Mapping[Path, AnnotatedImage]] = dict,
) -> list[Question]:
    """The rows as questions; `known`: finds images with regions by file. Rows without a usable image go to `skipped`.

    Raises `BadInput` where no row or no image is left.
    """
    rows = arrange_rows(settings, rows, context, skipped)
    if context.draws_val:  # a recipe's order: train before val before test, each in file order
        rows = sorted(rows, key=lambda row: SPLITS.index(row.split))
    if settings.limit is not None:  # by the number of a row within its split, from 1
        numbers = Counter[str]()
        numbered = [(row, numbers.update([row.split]) or numbers[row.split]) for row in rows]
        rows = [row for row, number in numbered if number <= settings.limit]
    questions = to_questions(rows, skipped, known())
    if not questions:
        problem = f"no question has its image; {skipped.summary()}."
        raise BadInput(problem, file=settings.path, fix="put the images there")
    if not context.draws_val or any(question.image.split == "val" for question in questions):
        return questions
    # whole groups of train become val
    train = [q.image.group for q in questions if q.image.split == "train"]
    groups = held_out(train, settings.val_fraction, context.seed)
    return [
        replace(q, image=replace(q.image, split="val")) if q.image.split == "train" and q.image.group in groups else q
        for q in questions
    ]
