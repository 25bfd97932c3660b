"""RadFact: phrases of a report entailed by its reference and the reverse, with their boxes, on given entailments.

Where they stand: `meta.radfact` of a record, `{"candidate": [PHRASE, ...], "reference": [PHRASE, ...]}`, the phrases
of the written report judged against the reference and those of the reference judged against the report, each
`{"phrase": "...", "status": "entailed" | "not_entailed", "boxes": [[x0, y0, x1, y1], ...], "evidence_boxes": [...]}`;
boxes in [0, 1] of the image, none or null where the phrase has no place; `evidence_boxes`: those of the phrases that
entail it. Rules: Bannur et al. 2024 (MAIRA-2), as microsoft/RadFact computes them.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator

from ...statistics.measure import Floats, Measures, Sums, divide, from_sums, ratio

GRID = 224
"""Pixels a side of the masks that boxes are compared on."""
MIN_PRECISION = 0.5
"""Boxes are entailed above this part of them inside the evidence, not at it."""
KINDS = ("logical", "spatial", "grounding")

_STATUS = {"entailment": "entailed", "not_entailment": "not_entailed"}
"""RadFact's own words."""


def _check_box(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    if not (0 <= x0 <= x1 <= 1 and 0 <= y0 <= y1 <= 1):
        raise ValueError(f"{list(box)} is no box: give x0, y0, x1, y1 in [0, 1] of the image, x0 <= x1, y0 <= y1")
    return box


Box = Annotated[tuple[float, float, float, float], AfterValidator(_check_box)]
Boxes = Annotated[list[Box], BeforeValidator(lambda value: [] if value is None else value)]
Status = Annotated[Literal["entailed", "not_entailed"], BeforeValidator(lambda value: _STATUS.get(str(value), value))]


class Phrase(BaseModel):
    """A phrase, whether the other report entails it, its boxes and those of its evidence."""

    phrase: str = ""
    status: Status
    boxes: Boxes = []
    evidence_boxes: Boxes = []


class Verdicts(BaseModel):
    """`meta.radfact` of one record."""

    candidate: list[Phrase]
    reference: list[Phrase]


Form = Verdicts


def box_precision(boxes: Sequence[Box], evidence: Sequence[Box]) -> float:
    """Part of the boxes' union that lies inside the evidence's, on the grid; nan for boxes less than a pixel wide."""
    mask, inside = np.zeros((2, GRID, GRID), bool)
    for drawn, part in ((mask, boxes), (inside, evidence)):
        for box in part:
            x0, y0, x1, y1 = (np.array(box) * GRID).astype(int)  # cut, as RadFact does, not rounded
            drawn[y0:y1, x0:x1] = True
    return float((mask & inside).sum() / mask.sum()) if mask.any() else float("nan")


def fractions(phrases: Sequence[Phrase]) -> tuple[float, float, float]:
    """Of one report's phrases: logical, spatial and grounding fraction, nan for none of the kind.

    Logical: entailed of all; spatial: in place of all with boxes; grounding: in place of the entailed with boxes.
    """
    entailed = [phrase for phrase in phrases if phrase.status == "entailed"]
    boxed, entailed_boxed = ([phrase for phrase in group if phrase.boxes] for group in (phrases, entailed))
    # enough of the boxes inside those of the evidence
    in_place = sum(box_precision(one.boxes, one.evidence_boxes) > MIN_PRECISION for one in entailed_boxed)
    parts = (len(entailed), phrases), (in_place, boxed), (in_place, entailed_boxed)
    logical, spatial, grounding = (count / len(group) if group else float("nan") for count, group in parts)
    return logical, spatial, grounding


def measures(values: Sequence[Verdicts], rows: Sequence[int], *_others: Any) -> tuple[Measures, list[str]]:
    """`radfact_measures`, and how many reports define each precision and recall that not every report defines.

    The others stay among the samples, so that two systems can be compared on the same reports.
    """
    sums = radfact_measures(values, rows)
    defining = {name: int(part.columns_NK[:, 1].sum()) for name, part in sums.items() if part.formula is ratio}
    counts = ", ".join(f"{name} {num}" for name, num in defining.items() if 0 < num < len(rows))
    return {**sums}, [f"RadFact: reports that define it, of {len(rows)}: {counts}."] if counts else []


def radfact_measures(verdicts: Sequence[Verdicts], rows: Sequence[int] | None = None) -> dict[str, Sums]:
    """radfact_{logical,spatial,grounding}_{precision,recall,f1} in [0, 1].

    Precision is the mean fraction over reports with such phrases, recall the same of the references; F1 is that of
    these two means (0 where both are). What no report defines is nan. `rows`: indices among the inputs.
    """
    sides_TNK = np.array([[fractions(side) for side in (one.candidate, one.reference)] for one in verdicts])
    is_defined = np.isfinite(sides_TNK)
    # of each side and kind the fractions, 0 where there is none, and 1 or 0: their sums make the mean
    columns = np.stack([np.where(is_defined, sides_TNK, 0.0), is_defined.astype(np.float64)], -1)
    sums: dict[str, Sums] = {}
    for column, kind in enumerate(KINDS):
        precision_N2, recall_N2 = columns[:, 0, column], columns[:, 1, column]
        sums[f"radfact_{kind}_precision"] = from_sums(precision_N2, ratio, rows)
        sums[f"radfact_{kind}_recall"] = from_sums(recall_N2, ratio, rows)
        sums[f"radfact_{kind}_f1"] = from_sums(np.concatenate([precision_N2, recall_N2], 1), f1_of_means, rows)
    return sums


def f1_of_means(sums_R4: Floats) -> Floats:
    """float64[R]: F1 of a precision and a recall, each a sum and a count; 0 where both are, nan where one has none."""
    precision_R, recall_R = ratio(sums_R4[:, :2]), ratio(sums_R4[:, 2:])
    return divide(2 * precision_R * recall_R, precision_R + recall_R, 0.0)
