"""The protocol of every task; and the first task: `Question` -> `Example`, raw text -> answer.

A further task is a class like `Question` with the members of `TaskItem`, and a row of `scripts.pipeline.tasks.TASKS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

from ..grounding.evidence.citable import citations_to_json, numbers_shown
from ..grounding.evidence.controls import mirror_evidence
from ..grounding.evidence.evidence import Evidence, EvidenceSettings, ImageEvidence
from ..grounding.evidence.sources import Query, true_evidence
from ..grounding.records import Task, record_identity, record_meta
from ..grounding.types import AnnotatedImage
from ..grounding.vocabulary.citations import parse_citations
from .answer import AnswerType as AnswerType
from .answer import parse_answer
from .granted import granted_in
from .prompt.context import context_of, gives_away
from .prompt.prompt import Example, Transform


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One example and what its record says besides the prediction.

    `fields`: of `PredictionRecord`; at least dataset, split, task, image_id, cluster_id, question, answer. The id is
    the example's unless given; evidence, forms, phrases and regions are those that the prompt shows. `parse`: raw text,
    and the evidence shown, to further fields (`parsed`, `meta`; `prediction` where the scores are to read another text
    than the raw one).
    """

    example: Example
    fields: dict[str, Any] = field(default_factory=dict)
    parse: Callable[[str, Evidence], dict[str, Any]] = lambda _text, _shown: {}

    @property
    def id(self) -> str:
        """The record's id."""
        return str(self.fields.get("id", self.example.example_id))


def record_fields(
    task: Task, image: AnnotatedImage, question: str, answer: str, names: Mapping[str, str]
) -> dict[str, Any]:
    """The fields that records of every task have. `names`: `model` and `adapter`."""
    fields = {"dataset": image.dataset, "split": image.split, **record_identity(image), **names}
    return {**fields, "task": task, "question": question, "answer": answer}


class TaskItem(Protocol):
    """One task for a model: a question, a report to write."""

    @property
    def item_id(self) -> str:
        """Id of its example and of its record."""
        ...

    @property
    def image(self) -> AnnotatedImage:
        """The first image; its split, patient and data set are those of the item."""
        ...

    @property
    def images(self) -> tuple[AnnotatedImage, ...]:
        """Every image of the prompt, in order."""
        ...

    @property
    def phrases(self) -> tuple[str, ...]:
        """Phrases that the item itself asks to look for, besides what is usual in its modality."""
        ...

    @property
    def granted(self) -> tuple[str, ...]:
        """Those of them that it takes to be there."""
        ...

    @property
    def meta(self) -> Mapping[str, Any]:
        """What its record keeps besides, for the scores."""
        ...

    def again(self, mark: str, change: Callable[[AnnotatedImage], AnnotatedImage], meta: Mapping[str, Any]) -> Self:
        """The same with other pictures: `mark` behind its id, every image changed, `meta` added to its own."""
        ...

    def to_example(self, evidence: Evidence) -> Example:
        """The parts of its prompt. `evidence`: of every image, as stored."""
        ...

    def job(self, example: Example, settings: EvidenceSettings, names: Mapping[str, str]) -> Job:
        """The fields of its record and how the model's text is read. `names`: `model` and `adapter` of the record."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """One question on one image or several.

    `image` is the first one; `others` follow in the order in which the question names them. `phrases`: what the
    label tree recognised in the question, to be grounded. `phrase_type`: how its set came by the wording, such as
    freeform, para, frame; "" where it does not say. `transform`: how its images are changed before the model sees them;
    regions and phrases are those of the images as stored. `hides`: it asks for the modality or the part of the body, so
    that its prompt names neither; a `content_type` may say so as well (`context.gives_away`). `meta`: what its record
    keeps besides, for the scores.
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
    hides: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def item_id(self) -> str:
        """Id of its example and of its record."""
        return self.question_id

    @property
    def granted(self) -> tuple[str, ...]:
        """Phrases that the question's words take to be there."""
        return tuple(phrase for phrase in granted_in(self.question) if phrase in self.phrases)

    @property
    def images(self) -> tuple[AnnotatedImage, ...]:
        """Every image of the question, in order."""
        return (self.image, *self.others)

    def again(
        self, mark: str, change: Callable[[AnnotatedImage], AnnotatedImage], meta: Mapping[str, Any]
    ) -> "Question":
        """The same question on changed images: `mark` behind its id, `meta` added to its own."""
        image, *others = map(change, self.images)
        name = f"{self.question_id}{mark}"
        return replace(self, question_id=name, image=image, others=tuple(others), meta={**self.meta, **meta})

    def to_example(self, evidence: Evidence) -> Example:
        """The prompt's parts; a short answer is asked for, in the words of public VQA prompts.

        `evidence`: of the first image, or of all, as stored; it is changed as the images are.
        """
        return Example(
            example_id=self.question_id,
            image_path=self.image.image_path,
            # the bytes stay: adapters have learned this line
            instruction=f"{self.question}\nAnswer with a word or short phrase.",
            target=self.answer,
            evidence=_transformed(evidence, self.transform),
            context="" if self.hides or gives_away(self.content_type) else context_of(self.images),
            other_paths=tuple(image.image_path for image in self.others),
            transform=self.transform,
            may_cite=True,
        )

    def true_evidence(self) -> Evidence:
        """The true regions of the images as the model sees them, of every phrase that the set annotates on each."""
        return _transformed(true_evidence(self.images), self.transform)

    def job(self, example: Example, settings: EvidenceSettings, names: Mapping[str, str]) -> Job:
        """The fields of its record and how its text is read. `names`: `model` and `adapter` of the record."""
        meta = {**record_meta(self.image, self.phrases, self.others), "question_type": self.content_type, **self.meta}
        fields = record_fields("vqa", self.image, self.question, self.answer, names)
        fields |= {"answer_type": self.answer_type, "meta": meta}

        def parse(text: str, shown: Evidence) -> dict[str, Any]:
            if not settings.cite:
                return {"parsed": parse_answer(text, self.answer_type)}
            # scores read the answer without citations; the text itself stays as `meta.raw`
            citations = parse_citations(text, len(numbers_shown(shown, settings)))
            return {
                "prediction": citations.text,
                "parsed": parse_answer(citations.text, self.answer_type),
                "meta": {**meta, "raw": text, "citations": citations_to_json(citations, shown, self.true_evidence())},
            }

        return Job(example=example, fields=fields, parse=parse)


def _transformed(evidence: Evidence, transform: Transform) -> Evidence:
    """The evidence of a grounder in the changed images: mirrored, or without regions."""
    if transform == "flipped":
        return mirror_evidence(evidence)
    if transform == "blank":  # looked for and not found
        return evidence.each(lambda part: replace(part, regions=()))
    if transform == "text_only":  # no phrase was looked for
        return replace(evidence, images=tuple(ImageEvidence(size_px=image.size_px) for image in evidence.images[:1]))
    return evidence


def example_of(question: str, query: Query, shown: Evidence, target: str = "") -> Example:
    """A question that is in no set, on the images of its query, with the evidence that is shown of them."""
    first, *others = (one.image for one in query.images)
    item = Question(
        question_id="ask",
        image=first,
        others=tuple(others),
        question=question,
        answer=target,
        answer_type="open",
        phrases=query.first.asked,
    )
    return item.to_example(shown)
