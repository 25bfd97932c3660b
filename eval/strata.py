"""Strata: the same metrics on parts of a run, each with its n and interval."""

from collections.abc import Sequence

import numpy as np

from .bootstrap import Estimate, estimate
from .measure import Measured
from .records import Record

Strata = dict[str, dict[str, dict[str, Estimate]]]
"""Axis -> label -> metric -> estimate."""

AXES = ("modality", "body_region", "question_type", "answer_type")
"""The axes that records name, in themselves or in their `meta`."""


def labels_of(records: Sequence[Record]) -> dict[str, list[str]]:
    """Each axis that some record names -> the label of every record, "" where it names none."""
    found = {axis: [_label(record, axis) for record in records] for axis in AXES}
    return {axis: labels for axis, labels in found.items() if any(labels)}


def _label(record: Record, axis: str) -> str:
    value = record.get(axis) or (record.get("meta") or {}).get(axis) or ""
    return str(value).strip()


def stratified(measured: Measured, *, resamples: int, confidence: float, seed: int) -> Strata:
    """Every measure on every stratum that holds a sample of it; an axis with a single label is left out."""
    found: Strata = {}
    for axis, labels in measured.strata.items():
        names = sorted(set(labels) - {""})
        if len(names) > 1:
            found[axis] = {name: _cells(measured, labels, name, resamples, confidence, seed) for name in names}
    return found


def _cells(
    measured: Measured, labels: Sequence[str], name: str, resamples: int, confidence: float, seed: int
) -> dict[str, Estimate]:
    is_here = np.asarray(labels) == name
    cells: dict[str, Estimate] = {}
    for metric, measure in measured.measures.items():
        keep_N = is_here[measure.rows_N]
        if keep_N.any():
            part = measure.picked(keep_N)
            cells[metric] = estimate(part, measured.clusters, resamples=resamples, confidence=confidence, seed=seed)
    return {metric: cell for metric, cell in cells.items() if np.isfinite(cell.value)}
