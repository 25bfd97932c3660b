"""Prediction to disk: records appended batch by batch; a rerun after a kill loses and doubles nothing."""

from collections.abc import Sequence
from pathlib import Path

from tqdm.auto import tqdm

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.evidence.evidence import EvidenceSettings
from ...grounding.records import PredictionRecord, RecordFile
from ...grounding.types import region_to_json
from ..model.grounded_mllm import GroundedMLLM
from ..prompt.prompt import instruction_text
from ..task import Job
from .generate import Generated, by_length, generating, write
from .settings import GenerateSettings


def predict(
    mllm: GroundedMLLM, jobs: Sequence[Job], evidence_settings: EvidenceSettings, settings: GenerateSettings, path: Path
) -> Skipped:
    """Write one record a job to `path`, batch by batch; jobs whose id is there already are done.

    An image that cannot be read is skipped and listed, here and beside `path` as `*.skipped.jsonl`.
    """
    records, skipped = RecordFile(path), Skipped()
    # whole lines only count as done: a killed process may have left half a one
    left = [job for job in jobs if job.id not in records.done]
    if not left:
        return skipped
    texts = [instruction_text(job.example, evidence_settings) for job in left]
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(left), desc=path.stem, unit="prompt")
    with bar, generating(mllm, settings):
        for indices in by_length(texts, settings.batch_size):
            rendered = []
            for job in (left[i] for i in indices):
                try:
                    rendered.append((job, mllm.render(job.example, evidence_settings)))
                except BadInput as error:
                    skipped.add(job.id, error)
            written = write(mllm, [prompt for _, prompt in rendered], settings) if rendered else []
            pairs = zip(rendered, written, strict=True)
            records.append([_record(job, text, evidence_settings) for (job, _), text in pairs])
            bar.update(len(indices))
    skipped.write(path.with_suffix(".skipped.jsonl"))
    return skipped


def _record(job: Job, written: Generated, settings: EvidenceSettings) -> PredictionRecord:
    shown = written.shown
    own = {
        "id": job.id,
        "evidence": shown.source,
        "forms": settings.forms,
        "phrases": shown.first.phrases,
        "regions": tuple(region_to_json(region) for region in shown.first.regions),
    }
    # the job's own fields win over these, and what it reads out of the text over both
    fields = {**own, **job.fields, "prediction": written.text, **job.parse(written.text, shown)}
    if further := [region_to_json(region) | {"image": image} for image, region in shown.numbered if image > 1]:
        fields["meta"] = {**fields.get("meta", {}), "other_regions": further}
    return PredictionRecord(**fields, prompt_sha256=written.prompt_sha256, seconds=written.seconds)
