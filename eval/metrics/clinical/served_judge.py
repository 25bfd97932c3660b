"""RadFact's entailment and GREEN's counts by a served model: any endpoint, no package of its own and no cloud key.

reports -> prompts -> judge -> `meta.radfact`, `meta.green` of the records that do not hold them yet.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from ....grounding.served.judge import Judge
from ....grounding.vocabulary.model_text import drop_thoughts
from ....grounding.vocabulary.sentences import split_sentences
from ...records import Record, meta_of
from ..fields import holds
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


def judge_reports(records: Sequence[Record], served: Judge) -> tuple[list[Record], list[str]]:
    """The records with `meta.radfact` and `meta.green` of the judge where they lack them, and notes."""
    filled = _with_entailments(records, served)
    return _with_counts(filled, served)


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


def _with_counts(records: Sequence[Record], served: Judge) -> tuple[list[Record], list[str]]:
    rows = [row for row, record in enumerate(records) if not holds(record, "green")]
    prompts = []
    for row in rows:
        candidate, reference = (" ".join(phrase["phrase"] for phrase in side) for side in _sides(records[row]))
        prompts.append(GREEN.format(reference=reference or "(empty)", candidate=candidate or "(empty)", form=_FORM))
    counts = dict(zip(rows, map(read_counts, served.ask(prompts)), strict=True))
    unread = sum(value is None for value in counts.values())
    notes = [f"GREEN: {unread} of {len(rows)} replies of the judge hold no counts and are left out."] if unread else []
    return _filled(records, "green", {row: value for row, value in counts.items() if value}), notes


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


def read_counts(said: str) -> dict[str, Any] | None:
    """The counts in the JSON of a reply; None for anything else."""
    match = re.search(r"\{.*\}", drop_thoughts(said), re.DOTALL)
    try:
        return Counts.model_validate(json.loads(match[0])).model_dump() if match else None
    except (ValueError, ValidationError, RecursionError):
        return None
