"""CRIMSON: findings of a report that are right, against false and missing ones, each by what it means to the patient.

Where they stand: `meta.crimson` of a record, in the form of CRIMSON's own judge: `{"reference_findings": [{"id": "R1",
"finding": ..., "clinical_significance": "urgent"}], "predicted_findings": [{"id": "P1", ...}], "matched_findings":
[{"ref_id": "R1", "pred_id": "P1"}], "errors": {"false_findings": ["P2"], "missing_findings": ["R2"],
"attribute_errors": [{"ref_id": "R1", "pred_id": "P1", "severity": "significant"}]}}`.
Rules: Baharoon et al. 2026 (arXiv 2603.06183; github.com/rajpurkarlab/CRIMSON).
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

from ...statistics.measure import Measures, mean

Significance = Literal["urgent", "actionable_not_urgent", "not_actionable_not_urgent", "benign_expected"]
WEIGHTS: dict[Significance, float] = {
    "urgent": 1.0,
    "actionable_not_urgent": 0.5,
    "not_actionable_not_urgent": 0.25,
    "benign_expected": 0.0,
}
_SIGNIFICANT = 0.5
"""What a significant error in the words of a finding weighs; a negligible one weighs nothing."""


class Finding(BaseModel):
    """One thing that is not normal."""

    id: str
    clinical_significance: Significance
    finding: str = ""


class Match(BaseModel):
    """The same finding on both sides."""

    ref_id: str
    pred_id: str = ""


class Flaw(Match):
    """A matched finding with a wrong place, severity, measure ..."""

    severity: Literal["significant", "negligible"]


class Errors(BaseModel):
    """Ids of findings on one side alone, and what is wrong with those on both."""

    false_findings: list[str] = []
    missing_findings: list[str] = []
    attribute_errors: list[Flaw] = []


class Findings(BaseModel):
    """`meta.crimson` of one record."""

    reference_findings: list[Finding]
    predicted_findings: list[Finding]
    matched_findings: list[Match]
    errors: Errors


Form = Findings


def crimson(found: Findings) -> float:
    """In (-1, 1]: 1 where all is right, 0 as good as a normal report, below where false findings weigh more."""
    wanted, written = (
        {one.id: WEIGHTS[one.clinical_significance] for one in side}
        for side in (found.reference_findings, found.predicted_findings)
    )
    flaws = dict.fromkeys(wanted, 0.0)
    for error in found.errors.attribute_errors:
        flaws[error.ref_id] = flaws.get(error.ref_id, 0.0) + _SIGNIFICANT * (error.severity == "significant")
    right = 0.0
    for name in {match.ref_id for match in found.matched_findings}:  # once, though a report may split it in two
        weight = wanted.get(name, 0.0)
        right += weight * weight / (weight + flaws.get(name, 0.0)) if weight else 0.0
    false = sum(written.get(name, 0.0) for name in found.errors.false_findings)
    if right >= false:
        total = sum(wanted.values())
        return (right - false) / total if total else 1.0
    return (right - false) / (1 + false - right)


def measures(values: Sequence[Findings], rows: Sequence[int], *_others: Any) -> tuple[Measures, list[str]]:
    """`crimson`, the mean over reports; there is nothing to note."""
    return {"crimson": mean([crimson(value) for value in values], rows)}, []
