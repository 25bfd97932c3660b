"""The question and what the model is asked with it: `Question` -> `Example`, raw text -> answer."""

from dataclasses import dataclass
from typing import Literal

from ..grounding.evidence import Evidence
from ..grounding.types import Study
from .mllm.prompt import Example

AnswerType = Literal["open", "closed"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """One question on one study. `phrases`: what the label tree recognised in the question, to be grounded."""

    question_id: str
    study: Study
    question: str
    answer: str
    answer_type: AnswerType
    phrases: tuple[str, ...] = ()
    content_type: str = ""


def to_example(question: Question, evidence: Evidence) -> Example:
    """The prompt's parts; a short answer is asked for, in the words of public VQA prompts."""
    return Example(
        example_id=question.question_id,
        image_path=question.study.image_path,
        instruction=f"{question.question}\nAnswer with a word or short phrase.",
        target=question.answer,
        evidence=evidence,
    )
