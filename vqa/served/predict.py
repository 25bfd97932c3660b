"""Predictions of a served model to disk: a record as each answer comes; a later call asks for what has none."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.evidence.evidence import EvidenceSettings
from ...grounding.files import read_lines
from ...grounding.records import PredictionRecord, RecordFile
from ...grounding.served.client import Endpoint, Reply, ask_each
from ..inference.generate import Generated
from ..inference.predict import SKIPPED, to_record
from ..inference.settings import GenerateSettings
from ..task import Job
from .chat import ChatPrompt, decoding, ignored, to_chat
from .notation import Notation

logger = logging.getLogger("medglip")


def predict_served(
    endpoint: Endpoint,
    notation: Notation,
    jobs: Sequence[Job],
    evidence_settings: EvidenceSettings,
    settings: GenerateSettings,
    path: Path,
) -> tuple[Skipped, int]:
    """Write one record a job to `path`; jobs whose id is there already are done, refusals among them.

    Returns what was skipped (images that cannot be read; also beside `path`), and how many jobs stay without an answer:
    they have no record. Raises `BadInput` as `ask_each` does; what was answered until then is kept.
    """
    records, skipped = RecordFile(path), Skipped()
    left = [job for job in jobs if job.id not in records.done]
    if left and (names := ignored(settings)):
        logger.warning("note: %s of generate are not asked of a server", ", ".join(names))
    prompts: dict[str, ChatPrompt] = {}  # of requests under way
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(left), desc=path.stem, unit="prompt")

    def to_request(job: Job) -> Mapping[str, Any] | None:
        try:
            prompt = to_chat(job.example, evidence_settings, notation)
        except BadInput as error:
            skipped.add(job.id, error)
            return None
        prompts[job.id] = replace(prompt, messages=[])  # the pictures are in the request alone
        return {"messages": prompt.messages, **decoding(settings)}

    def take(job: Job, reply: Reply) -> None:
        records.append([_record(job, prompts.pop(job.id), reply, evidence_settings)])
        bar.update()

    with bar:
        unanswered = ask_each(endpoint, left, to_request, take)
    skipped.write(path.with_suffix(SKIPPED))
    if num := len(unanswered.items):
        state = "given up" if unanswered.is_given_up else "the last reason"
        fix = "call again, only these are asked"
        logger.warning("%d of %d have no answer yet (%s: %s). Fix: %s", num, len(jobs), state, unanswered.why, fix)
    return skipped, len(unanswered.items)


def _record(job: Job, prompt: ChatPrompt, reply: Reply, settings: EvidenceSettings) -> PredictionRecord:
    # a refusal is no answer: its text stays in `raw`
    text = "" if reply.is_refusal else reply.text.strip()
    written = Generated(text=text, prompt_sha256=prompt.sha256, seconds=reply.seconds, evidence=prompt.evidence)
    record = to_record(job, written, settings)
    return replace(
        record,
        prediction=None if reply.is_refusal else record.prediction,
        raw=reply.text,
        finish_reason=reply.finish_reason,
        usage=dict(reply.usage),
        probability=reply.probability,
    )


def count_odd(*paths: Path) -> str:
    """`refused 1, empty 0, cut 2` of the records in files: no answer, no text, ended by the limit of tokens."""
    counts: Counter[str] = Counter()
    for row in chain.from_iterable(read_lines(path) for path in paths if path.is_file()):
        counts["refused"] += row["prediction"] is None
        counts["empty"] += row["prediction"] is not None and not str(row.get("raw", row["prediction"])).strip()
        counts["cut"] += row.get("finish_reason") == "length"
    return ", ".join(f"{name} {counts[name]}" for name in ("refused", "empty", "cut"))
