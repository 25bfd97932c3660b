"""Questions on phantoms: synthetic pictures with exact answers that depend on what is in them and where.

Source: written by `grounding.datasets.phantom.write`, nothing is downloaded. About four questions a picture: is there,
in which half, where, how many, which finding. Split: that of the picture; train, val and test share no draw.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import data_folder
from ...grounding.settings import Settings
from ..task import Question
from .rows import check_values
from .sets import ReadContext

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = ("question_id", "question", "answer", "answer_type", "content_type", "phrases")


class PhantomQuestionSettings(Settings):
    """Which phantoms are asked about."""

    path: Path | None = None
    """A folder of phantoms drawn before, relative to MEDGLIP_DATA; left out: those of the recipe."""


def read(settings: PhantomQuestionSettings, context: ReadContext, skipped: Skipped) -> list[Question]:
    """The questions in file order. Raises `BadInput` where no phantoms are."""
    from ...grounding.datasets.phantoms import dataset as phantoms

    folder = data_folder(settings.path) if settings.path else context.phantom_dir
    if folder is None:
        raise BadInput("no phantoms are drawn here.", fix="give their folder, or a recipe the section `phantoms`")
    return read_questions(folder, phantoms.read(folder))


def read_questions(folder: Path, images: "Dataset") -> list[Question]:
    """The questions on these images (rows of `phantom.read`), in file order; answers that are numbers become text.

    `phrases` are the labels named in the question; "finding" names all finding labels of the modality.
    Raises `BadInput` naming the file and the row for a missing column or a value of the wrong kind.
    """
    from ...grounding.datasets.phantoms.dataset import read_rows

    file = folder / "questions.jsonl"
    questions: list[Question] = []
    for number, row, image in read_rows(file, COLUMNS, images):
        answer = row["answer"]
        if isinstance(answer, bool) or not isinstance(answer, str | int | float) or not str(answer).strip():
            raise BadInput(f"answer is {answer!r}.", file=file, row=number, fix="an answer is a word or short phrase")
        check_values(row, file, number)
        questions.append(
            Question(
                question_id=str(row["question_id"]),
                image=image,
                question=str(row["question"]),
                answer=str(answer),
                answer_type=row["answer_type"],
                phrases=tuple(row["phrases"]),
                content_type=str(row["content_type"]),
            )
        )
    return questions
