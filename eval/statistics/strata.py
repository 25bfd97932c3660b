"""Strata: the same metrics on parts of a run, each with its n and interval."""

from collections.abc import Sequence

import numpy as np

from ..records import Record, meta_of
from .bootstrap import Estimate, estimates
from .measure import Measure, Measured

Strata = dict[str, dict[str, dict[str, Estimate]]]
"""Axis -> label -> metric -> estimate."""

AXES = ("dataset", "modality", "body_region", "question_type", "content_type", "answer_type", "picture")
"""The axes that records name, in themselves or in their `meta`."""


def labels_of(records: Sequence[Record]) -> dict[str, list[str]]:
    """Each axis that some record names -> the label of every record, "" where it names none."""
    rows = [(record, meta_of(record)) for record in records]
    labels = {axis: [str(row.get(axis) or meta.get(axis) or "").strip() for row, meta in rows] for axis in AXES}
    return {axis: names for axis, names in labels.items() if any(names)}


def estimate_all(
    measured: Measured, *, resamples: int, confidence: float, seed: int, strata: bool = True
) -> tuple[dict[str, Estimate], Strata]:
    """All metrics on all samples, and on every stratum that holds a sample of it; an axis with one label is left out.

    Both at once, so that they share their resamples.
    """
    cells: dict[tuple[str, str, str], Measure] = {("", "", name): part for name, part in measured.measures.items()}
    for axis, labels in measured.strata.items() if strata else ():
        # samples without a label ("") are in no stratum, but do not make an axis with one label worth showing
        names, codes_N = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)
        if len(set(names) - {""}) < 2:
            continue
        for code, name in enumerate(names.tolist()):
            for metric, measure in measured.measures.items():
                keep_N = codes_N[measure.rows_N] == code  # of the metric's own samples
                if name and keep_N.any():
                    cells[axis, name, metric] = measure.subset(keep_N)
    results = estimates(cells, measured.clusters, resamples=resamples, confidence=confidence, seed=seed)
    parts: Strata = {}
    for (axis, label, metric), cell in results.items():
        if axis and np.isfinite(cell.value):
            parts.setdefault(axis, {}).setdefault(label, {})[metric] = cell
    return {metric: results["", "", metric] for metric in measured.measures}, parts
