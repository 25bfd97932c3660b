"""Strata: the same metrics on parts of a run, each with its n and interval."""

from collections.abc import Sequence

import numpy as np

from ..records import Record
from .bootstrap import Estimate, estimates
from .measure import Measure, Measured

Strata = dict[str, dict[str, dict[str, Estimate]]]
"""Axis -> label -> metric -> estimate."""

AXES = ("dataset", "modality", "body_region", "question_type", "content_type", "answer_type", "picture")
"""The axes that records name, in themselves or in their `meta`."""


def labels_of(records: Sequence[Record]) -> dict[str, list[str]]:
    """Each axis that some record names -> the label of every record, "" where it names none."""
    found = {axis: [_label(record, axis) for record in records] for axis in AXES}
    return {axis: labels for axis, labels in found.items() if any(labels)}


def _label(record: Record, axis: str) -> str:
    value = record.get(axis) or (record.get("meta") or {}).get(axis) or ""
    return str(value).strip()


def estimated(
    measured: Measured, *, resamples: int, confidence: float, seed: int, strata: bool = True
) -> tuple[dict[str, Estimate], Strata]:
    """All metrics on all samples, and on every stratum that holds a sample of it; an axis with one label is left out.

    Both at once, so that they share their resamples.
    """
    whole: dict[_Cell, Measure] = {("", "", metric): part for metric, part in measured.measures.items()}
    cells = whole | (_cells(measured) if strata else {})
    found = estimates(cells, measured.clusters, resamples=resamples, confidence=confidence, seed=seed)
    parts: Strata = {}
    for (axis, label, metric), cell in found.items():
        if axis and np.isfinite(cell.value):
            parts.setdefault(axis, {}).setdefault(label, {})[metric] = cell
    return {metric: found["", "", metric] for metric in measured.measures}, parts


_Cell = tuple[str, str, str]
"""Axis, label, metric."""


def _cells(measured: Measured) -> dict[_Cell, Measure]:
    cells: dict[_Cell, Measure] = {}
    for axis, labels in measured.strata.items():
        names, codes_N = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)
        if len(set(names) - {""}) < 2:
            continue
        for code, name in enumerate(names.tolist()):
            for metric, measure in measured.measures.items():
                keep_N = codes_N[measure.rows_N] == code
                if name and keep_N.any():
                    cells[axis, name, metric] = measure.picked(keep_N)
    return cells
