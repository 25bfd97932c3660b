"""The question and what the model is asked with it: `Question` -> `Example`, raw text -> answer."""

from dataclasses import dataclass
from typing import Literal

from ..grounding.bad_input import BadInput
from ..grounding.evidence import Evidence
from ..grounding.types import Study
from .mllm.prompt import Example

AnswerType = Literal["open", "closed"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """One question on one image or several.

    `study` is the first image; `others` follow in the order in which the question speaks of them. `phrases`: what the
    label tree recognised in the question, to be grounded. `phrase_type`: how its set came by the wording, such as
    freeform, para, frame; "" where it does not say.
    """

    question_id: str
    study: Study
    question: str
    answer: str
    answer_type: AnswerType
    phrases: tuple[str, ...] = ()
    content_type: str = ""
    phrase_type: str = ""
    others: tuple[Study, ...] = ()

    @property
    def studies(self) -> tuple[Study, ...]:
        """Every image of the question, in order."""
        return (self.study, *self.others)


def to_example(question: Question, evidence: Evidence) -> Example:
    """The prompt's parts; a short answer is asked for, in the words of public VQA prompts.

    Raises `BadInput` for a question on several images, of which the prompt would show the first alone.
    """
    if question.others:
        problem = f"asks about {len(question.studies)} images; a prompt shows one."
        raise BadInput(problem, row=question.question_id, fix="ask about each image by itself")
    return Example(
        example_id=question.question_id,
        image_path=question.study.image_path,
        instruction=f"{question.question}\nAnswer with a word or short phrase.",
        target=question.answer,
        evidence=evidence,
    )
