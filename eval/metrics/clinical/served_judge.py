"""RadFact's entailment, GREEN's counts and CRIMSON's findings by a served model: any endpoint, no cloud key.

reports -> prompts -> judge -> `meta.radfact`, `meta.green`, `meta.crimson` of the records that do not hold them yet.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from ....grounding.served.judge import MAX_TOKENS, Judge
from ....grounding.vocabulary.model_text import drop_thoughts
from ....grounding.vocabulary.sentences import split_sentences
from ...records import Record, meta_of
from ..fields import holds
from .crimson import WEIGHTS, Findings
from .green import ERRORS, Counts
from .labelers import judge

ENTAILMENT = """Hypothesis: {phrase}

Premises:
{premises}

The hypothesis and the premises are sentences of radiology reports. Which premises entail the hypothesis, by itself or \
together? Reply with their numbers, separated by commas, or with none, and nothing else."""
_ZEROS = ", ".join(f'"{kind}": 0' for kind in ERRORS)
_FORM = f'{{"matched": 0, "significant": {{{_ZEROS}}}, "insignificant": {{{_ZEROS}}}}}'
GREEN = """Compare a candidate radiology report with its reference.

Reference: {reference}
Candidate: {candidate}

Count the findings that both state alike (matched), and the errors of the candidate by kind: a, a finding that the \
reference does not have; b, a finding of the reference that is missing; c, a wrong location; d, a wrong severity; \
e, a comparison that the reference does not make; f, a comparison of the reference that is left out. Tell errors that \
matter for the patient (significant) from others (insignificant). Reply with JSON alone, in this form: {form}"""
_FINDINGS_FORM = """{"reference_findings": [{"id": "R1", "finding": "...", "clinical_significance": "urgent"}], \
"predicted_findings": [{"id": "P1", "finding": "...", "clinical_significance": "urgent"}], \
"matched_findings": [{"ref_id": "R1", "pred_id": "P1"}], \
"errors": {"false_findings": ["P2"], "missing_findings": ["R2"], \
"attribute_errors": [{"ref_id": "R1", "pred_id": "P1", "severity": "significant", "error_types": ["location"]}]}}"""
CRIMSON = """List and match the findings of two reports of one chest X-ray, as a radiologist who judges the second one.

Reference: {reference}
Prediction: {candidate}

1. List every abnormal finding of the reference (R1, R2 ...) and of the prediction (P1, P2 ...); nothing that is \
normal or denied. A sentence with two findings is two. Say what each means for the patient (clinical_significance): \
urgent, it needs action at once, as a pneumothorax or a misplaced tube; actionable_not_urgent, it changes treatment, \
as pneumonia, edema, a nodule or a fracture; not_actionable_not_urgent, it is minor, as atelectasis or a tube in its \
place; benign_expected, it is usual at that age, as a calcified aorta.
2. Match findings that name the same thing, also where place or severity differ; a finding of the reference may \
match several of the prediction. Each P stands in matched_findings or in false_findings, each R in matched_findings \
or in missing_findings.
3. For each thing wrong in a matched finding write one entry of attribute_errors, with one of location, severity, \
descriptor, measurement, certainty, unspecific, overinterpretation, temporal in error_types: significant where it \
could change treatment (the other lung, small for large), else negligible. More detail than the reference is no \
error.

Use these words of clinical_significance alone: {words}. Reply with JSON alone, in this form: {form}"""
_FINDINGS_TOKENS = 4096
"""A list of findings is longer than what other judges are asked for."""
PROMPTS = f"{ENTAILMENT}\n\n{GREEN}\n\n{CRIMSON}"
FIELDS = {"radfact": "RadFact", "green": "GREEN", "crimson": "CRIMSON"}
"""What can be judged, and its name."""


def judge_reports(
    records: Sequence[Record], served: Judge, fields: Collection[str] = tuple(FIELDS)
) -> tuple[list[Record], list[str]]:
    """The records with `meta.radfact`, `meta.green`, `meta.crimson` of the judge where they lack them, and notes.

    `fields`: of these alone.
    """
    filled, notes = list(records), list[str]()
    if "radfact" in fields:
        filled = _with_entailments(filled, served)
    if "green" in fields:
        filled = _with_form(filled, served, "green", GREEN, Counts, notes, {"form": _FORM})
    if "crimson" in fields:
        more = {"form": _FINDINGS_FORM, "words": ", ".join(WEIGHTS)}
        filled = _with_form(filled, served, "crimson", CRIMSON, Findings, notes, more)
    return filled, notes


def _with_entailments(records: Sequence[Record], served: Judge) -> list[Record]:
    rows = [row for row, record in enumerate(records) if not holds(record, "radfact")]
    sides = {row: _sides(records[row]) for row in rows}
    prompts: dict[str, None] = {}

    def note(phrase: str, premises: Sequence[str]) -> None:
        if premises:
            prompts[_entailment(phrase, premises)] = None

    for candidate, reference in sides.values():  # first all questions, so that many are asked at once
        judge(candidate, reference, note)
    said = dict(zip(prompts, served.ask(list(prompts)), strict=True))

    def verify(phrase: str, premises: Sequence[str]) -> list[int] | None:
        return read_numbers(said[_entailment(phrase, premises)], len(premises)) if premises else None

    return _filled(records, "radfact", {row: judge(*both, verify) for row, both in sides.items()})


def _with_form(
    records: Sequence[Record],
    served: Judge,
    field: str,
    prompt: str,
    form: type[BaseModel],
    notes: list[str],
    words: Mapping[str, str],
) -> list[Record]:
    """The records with the JSON of one reply a report; what is of another form is left out, and told in `notes`."""
    rows = [row for row, record in enumerate(records) if not holds(record, field)]
    prompts = []
    for row in rows:
        candidate, reference = (" ".join(phrase["phrase"] for phrase in side) for side in _sides(records[row]))
        prompts.append(prompt.format(reference=reference or "(empty)", candidate=candidate or "(empty)", **words))
    said = served.ask(prompts, _FINDINGS_TOKENS if form is Findings else MAX_TOKENS)
    values = {row: read_form(reply, form) for row, reply in zip(rows, said, strict=True)}
    if unread := sum(value is None for value in values.values()):
        what = "counts" if form is Counts else "findings"
        note = f"{FIELDS[field]}: {unread} of {len(rows)} replies of the judge hold no {what} and are left out."
        notes.append(note)
    return _filled(records, field, {row: value for row, value in values.items() if value})


def _filled(records: Sequence[Record], field: str, values: Mapping[int, Any]) -> list[Record]:
    return [
        cast(Record, {**record, "meta": {**meta_of(record), field: values[row]}}) if row in values else record
        for row, record in enumerate(records)
    ]


def _sides(record: Record) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Phrases of the report and of its reference, with the boxes that its sentences have."""
    meta = meta_of(record)
    answer = record["answer"]
    texts = (drop_thoughts(record["prediction"]), answer if isinstance(answer, str) else next(iter(answer), ""))
    boxes = (_boxes(meta.get(name), meta.get("size_px")) for name in ("sentences", "reference_sentences"))
    candidate, reference = (
        [{"phrase": phrase, "boxes": known.get(phrase, [])} for phrase in split_sentences(text)]
        for text, known in zip(texts, boxes, strict=True)
    )
    return candidate, reference


def _boxes(sentences: Any, size_px: Any) -> dict[str, list[list[float]]]:
    """Boxes of each sentence in [0, 1] of the image."""
    if not (isinstance(sentences, list) and isinstance(size_px, list)):
        return {}
    width, height = size_px
    return {
        row["text"]: [
            [min(max(x / side, 0), 1) for x, side in zip(one["box_xyxy_px"], (width, height) * 2, strict=True)]
            for one in row["regions"]
        ]
        for row in sentences
    }


def _entailment(phrase: str, premises: Sequence[str]) -> str:
    numbered = "\n".join(f"{number}. {premise}" for number, premise in enumerate(premises, 1))
    return ENTAILMENT.format(phrase=phrase, premises=numbered)


def read_numbers(said: str, num: int) -> list[int] | None:
    """Indices, from 0, of the numbers 1 .. `num` in the last line of a reply; None where there is none."""
    lines = [line for line in drop_thoughts(said).splitlines() if line.strip()]
    numbers = [int(word) for word in re.findall(r"\d+", lines[-1])] if lines else []
    return sorted({number - 1 for number in numbers if 1 <= number <= num}) or None


def read_form(said: str, form: type[BaseModel]) -> dict[str, Any] | None:
    """What the JSON of a reply holds; None for anything else."""
    match = re.search(r"\{.*\}", drop_thoughts(said), re.DOTALL)
    try:
        return form.model_validate(json.loads(match[0])).model_dump() if match else None
    except (ValueError, ValidationError, RecursionError):
        return None
