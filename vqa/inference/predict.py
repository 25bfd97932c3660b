"""Prediction to disk: records appended batch by batch; a rerun after a kill loses and doubles nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.evidence.evidence import EvidenceSettings, select
from ...grounding.records import PredictionRecord, RecordFile
from ...grounding.types import region_to_json
from ..model.grounded_mllm import GroundedMLLM
from ..prompt.prompt import Example, Prompt, instruction_text
from .generate import Generated, GenerateSettings, by_length, generating, write


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One example and what its record says besides the prediction.

    `fields`: of `PredictionRecord`; at least dataset, split, task, image_id, cluster_id, question, answer. The id is
    the example's unless given; evidence, forms, phrases and regions come from the example. `parse`: raw text to
    further fields (`parsed`, `meta`; `prediction` where the scores are to read another text than the raw one).
    """

    example: Example
    fields: dict[str, Any] = field(default_factory=dict)
    parse: Callable[[str], dict[str, Any]] = lambda _: {}

    @property
    def id(self) -> str:
        """The record's id."""
        return str(self.fields.get("id", self.example.example_id))


def predict(
    mllm: GroundedMLLM,
    jobs: Sequence[Job],
    evidence_settings: EvidenceSettings,
    settings: GenerateSettings,
    path: Path,
) -> Skipped:
    """Write one record a job to `path`, batch by batch; jobs whose id is there already are done.

    An image that cannot be read is skipped and listed, here and beside `path` as `*.skipped.jsonl`.
    """
    records, skipped = RecordFile(path), Skipped()
    left = [job for job in jobs if job.id not in records.done]
    if not left:
        return skipped
    texts = [instruction_text(job.example, evidence_settings) for job in left]
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(left), desc=path.stem, unit="prompt")
    with bar, generating(mllm, settings):
        for places in by_length(texts, settings.batch_size):
            asked = _render(mllm, [left[i] for i in places], evidence_settings, skipped)
            written = write(mllm, [prompt for _, prompt in asked], settings) if asked else []
            records.append(
                [_record(job, text, evidence_settings) for (job, _), text in zip(asked, written, strict=True)]
            )
            bar.update(len(places))
    skipped.write(path.with_suffix(".skipped.jsonl"))
    return skipped


def _render(
    mllm: GroundedMLLM, jobs: list[Job], evidence_settings: EvidenceSettings, skipped: Skipped
) -> list[tuple[Job, Prompt]]:
    asked = []
    for job in jobs:
        try:
            asked.append((job, mllm.render(job.example, evidence_settings)))
        except BadInput as error:
            skipped.add(job.id, error)
    return asked


def _record(job: Job, written: Generated, settings: EvidenceSettings) -> PredictionRecord:
    shown = select(job.example.evidence, settings)
    own = {
        "id": job.id,
        "evidence": shown.source,
        "forms": settings.forms,
        "phrases": shown.phrases,
        "regions": tuple(region_to_json(region) for region in shown.regions),
    }
    said = {**own, **job.fields, "prediction": written.text, **job.parse(written.text)}
    if further := [region_to_json(region) | {"image": image} for image, region in shown.numbered if image > 1]:
        said["meta"] = {**said.get("meta", {}), "other_regions": further}
    return PredictionRecord(
        **said,
        prompt_sha256=written.prompt_sha256,
        seconds=written.seconds,
    )
