"""Prediction records: what they say of an image, of one phrase asked of it, and of one question."""

from collections.abc import Sequence
from typing import Any

from ..grounding.evidence.evidence import Evidence, EvidenceSettings, select
from ..grounding.records import PredictionRecord
from ..grounding.types import AnnotatedImage, Region, region_to_json
from ..grounding.vocabulary.labels import load_labels
from ..vqa.answer import parse_answer
from ..vqa.citations import citations_to_json, numbers_shown, parse_citations
from ..vqa.inference.predict import Job
from ..vqa.prompt.prompt import Example
from ..vqa.task import Question, truth_of


def record_meta(
    image: AnnotatedImage, phrases: Sequence[str] = (), others: Sequence[AnnotatedImage] = ()
) -> dict[str, Any]:
    """What strata and the page need of an image: modality, body region, size and path; the ids of all that are shown.

    The body region is that of the phrases in the label tree, else that of the image's true regions.
    """
    names = phrases or [region.phrase for region in image.regions]
    body_regions = [name for name in map(load_labels().body_region, names) if name]
    return {
        "modality": image.modality,
        "body_region": body_regions[0] if body_regions else "",
        "size_px": list(image.size_px),
        "image_path": str(image.image_path),
        "image_ids": [shown.image_id for shown in (image, *others)],
    }


def grounding_record(
    image: AnnotatedImage, phrase: str, found: Sequence[Region], presence: float | None = None, **others: Any
) -> PredictionRecord:
    """The record of one phrase asked of one image.

    `found`: its regions; `presence`: the chance in [0, 1] that it is there at all, None where the grounder does not
    say; `others`: further fields, `meta` added to.
    """
    told = {"level": load_labels().level(phrase)} | ({} if presence is None else {"presence": presence})
    return PredictionRecord(
        id=record_id(image, phrase),
        dataset=image.dataset,
        split=image.split,
        task="grounding",
        image_id=image.image_id,
        cluster_id=f"{image.dataset}/{image.group}",
        question=phrase,
        answer=[region_to_json(region) for region in image.regions if region.phrase == phrase],
        prediction=[region_to_json(region) for region in found],
        evidence="predicted",
        phrases=(phrase,),
        meta=record_meta(image, [phrase]) | told | others.pop("meta", {}),
        **others,
    )


def record_id(image: AnnotatedImage, phrase: str) -> str:
    """Of the record of one phrase asked of one image."""
    return f"{image.dataset}/{image.image_id}/{phrase}"


def _identity(image: AnnotatedImage) -> dict[str, str]:
    return {"image_id": image.image_id, "cluster_id": f"{image.dataset}/{image.group}"}


def question_job(question: Question, example: Example, settings: EvidenceSettings, names: dict[str, str]) -> Job:
    """The record's fields of one question, and how its text is read. `names`: `model` and `adapter` of the record."""
    image = question.image
    meta = record_meta(image, question.phrases, question.others) | {"question_type": question.content_type}
    meta |= dict(question.meta)
    fields: dict[str, Any] = {
        "dataset": image.dataset,
        "split": image.split,
        **_identity(image),
        **names,
        "task": "vqa",
        "question": question.question,
        "answer": question.answer,
        "answer_type": question.answer_type,
        "meta": meta,
    }
    return Job(
        example=example, fields=fields, parse=lambda text: answered(text, question, example.evidence, settings, meta)
    )


def answered(
    text: str, question: Question, evidence: Evidence, settings: EvidenceSettings, meta: dict[str, Any]
) -> dict[str, Any]:
    """A record's fields read out of what the model wrote: the answer and, where it was to cite, the regions cited.

    Scores then read the answer without citations; what was written is kept as `meta.raw`.
    """
    if not settings.cite:
        return {"parsed": parse_answer(text, question.answer_type)}
    shown = select(evidence, settings)
    found = parse_citations(text, len(numbers_shown(shown, settings)))
    told = {"raw": text, "citations": citations_to_json(found, shown, truth_of(question))}
    return {"prediction": found.text, "parsed": parse_answer(found.text, question.answer_type), "meta": meta | told}
