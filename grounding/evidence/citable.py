"""The numbered regions of a prompt, as answers cite them: which numbers there are, and what a record keeps of them."""

from typing import Any

from ..types import region_to_json
from ..vocabulary.citations import Citations
from .evidence import Evidence, EvidenceSettings
from .names import FORMS


def numbers_shown(evidence: Evidence, settings: EvidenceSettings) -> tuple[int, ...]:
    """Numbers of the regions that a prompt shows with a number, from 1; crops have none."""
    has_numbers = any(FORMS[form].has_numbers for form in settings.forms)
    return tuple(range(1, len(evidence.regions) + 1)) if has_numbers else ()


def citations_to_json(citations: Citations, evidence: Evidence, truth: Evidence | None = None) -> dict[str, Any]:
    """For a record's meta, and scored: numbers `cited` and `missing` (an answer with missing ones is in error), how
    many were `shown`, the `regions` cited; one that is not in the first image has the number of its `image`.

    `truth`: what is true of the images as they were shown. A region whose phrase is among its phrases has `truth`,
    the true boxes of that phrase, none where it is not there.
    """
    regions = []
    for number in citations.cited:
        image, region = evidence.numbered[number - 1]
        row = {"number": number} | region_to_json(region) | {"mask_rle": None}
        if image > 1:
            row["image"] = image
        # one image's truth, or none: a slice does not fail where the truth has fewer images
        annotated = truth.images[image - 1 : image] if truth else ()
        if any(region.phrase in part.phrases for part in annotated):
            boxes = [r.box_xyxy_px.tolist() for part in annotated for r in part.regions if r.phrase == region.phrase]
            row["truth"] = [[round(x, 2) for x in box] for box in boxes]
        regions.append(row)
    numbers = {"cited": list(citations.cited), "missing": list(citations.missing), "shown": citations.num_shown}
    return {**numbers, "regions": regions}
