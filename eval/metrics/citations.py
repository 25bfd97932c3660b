"""Citations: do answers and reports cite the regions they were shown, do these exist, do they lie where the truth is?

Where they stand: `meta.citations` of a record, `{"cited": [1], "missing": [7], "shown": 4, "regions": [...]}`: `cited`
are numbers of regions that were there, `missing` cited numbers that no region had, `shown` how many had a number (left
out: some), `regions` the cited ones as `{"box_xyxy_px": [x0, y0, x1, y1], "truth": [[x0, y0, x1, y1], ...]}`. `truth`:
true boxes of the region's phrase on the picture, none where it is not there; left out or null where that is not known.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from ...grounding.geometry import iou
from ..statistics.measure import Measures, from_sums, mean, ratio

Box = tuple[float, float, float, float]


class CitedRegion(BaseModel):
    """One cited region, and the true boxes of its phrase; None: it is not known whether it is there."""

    box_xyxy_px: Box
    truth: list[Box] | None = None


class Form(BaseModel):
    """`meta.citations` of one answer or report."""

    cited: list[int] = []
    missing: list[int] = []
    shown: int | None = Field(default=None, ge=0)
    regions: list[CitedRegion] = []


def measures(values: Sequence[Form], rows: Sequence[int], *_others: Any) -> tuple[Measures, list[str]]:
    """The measures of the records that hold citations, which are their samples; there is nothing to note.

    `citation_rate`: answers (or reports) that cite a region, of those that were shown one. `citation_error_rate`: those
    with a citation of a region that does not exist. `citation_precision_50`: cited regions at IoU >= .5 with a true one
    of their phrase, of those whose truth is known. What no record defines is left out.
    """
    counts: list[tuple[int, ...]] = []  # 1 or 0: cites a region, could have; judged regions that are right, judged
    for one in values:
        judged = [(region.box_xyxy_px, region.truth) for region in one.regions if region.truth is not None]
        ious = [iou(np.array(box), np.array(truths).reshape(-1, 4)) for box, truths in judged]
        right = sum(bool((ious_G >= 0.5).any()) for ious_G in ious)
        counts.append((bool(one.cited), bool(one.cited) or one.shown != 0, right, len(judged)))
    counts_N4 = np.array(counts, np.float64)
    parts = {"citation_rate": counts_N4[:, :2], "citation_precision_50": counts_N4[:, 2:]}  # ratios of sums
    defined = {name: from_sums(part, ratio, rows) for name, part in parts.items() if part[:, 1].any()}
    return {"citation_error_rate": mean([bool(one.missing) for one in values], rows), **defined}, []
