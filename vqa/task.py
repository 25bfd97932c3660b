"""The question and what the model is asked with it: `Question` -> `Example`, raw text -> answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..grounding.evidence.controls import mirrored
from ..grounding.evidence.evidence import Evidence
from ..grounding.evidence.sources import true_evidence
from ..grounding.types import AnnotatedImage
from .prompt.prompt import Example, Transform

AnswerType = Literal["open", "closed"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """One question on one image or several.

    `study` is the first image; `others` follow in the order in which the question speaks of them. `phrases`: what the
    label tree recognised in the question, to be grounded. `phrase_type`: how its set came by the wording, such as
    freeform, para, frame; "" where it does not say. `transform`: what is done to its pictures before they are shown;
    studies and phrases are those of the pictures as stored. `meta`: what its record keeps besides, for the scores.
    """

    question_id: str
    image: AnnotatedImage
    question: str
    answer: str
    answer_type: AnswerType
    phrases: tuple[str, ...] = ()
    content_type: str = ""
    phrase_type: str = ""
    others: tuple[AnnotatedImage, ...] = ()
    transform: Transform = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> tuple[AnnotatedImage, ...]:
        """Every image of the question, in order."""
        return (self.image, *self.others)


def to_example(question: Question, evidence: Evidence) -> Example:
    """The prompt's parts; a short answer is asked for, in the words of public VQA prompts.

    `evidence`: of the first picture, or of all, as stored; it is changed as the pictures are.
    """
    return Example(
        example_id=question.question_id,
        image_path=question.image.image_path,
        instruction=f"{question.question}\nAnswer with a word or short phrase.",
        target=question.answer,
        evidence=_seen(evidence, question.transform),
        other_paths=tuple(image.image_path for image in question.others),
        transform=question.transform,
        may_cite=True,
    )


def truth_of(question: Question) -> Evidence:
    """What is true of the pictures as they are shown, of every phrase that the set annotates on each."""
    first, *others = (true_evidence(image) for image in question.images)
    return _seen(replace(first, others=tuple(others)), question.transform)


def _seen(evidence: Evidence, transform: Transform) -> Evidence:
    """What a grounder would find in the changed pictures: all on its other side, or nothing.

    Without a picture no phrase was looked for.
    """
    if transform == "mirror":
        return mirrored(evidence)
    if transform == "blank":
        return evidence.each(lambda part: replace(part, regions=()))
    return replace(evidence, regions=(), phrases=(), others=()) if transform else evidence
