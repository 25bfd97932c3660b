"""Average precision and recall: the values by faster_coco_eval, and measures of them that can be resampled."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from ...statistics.measure import Floats, Measures, Sums
from ...statistics.ranking import RankedHits
from .coco_matching import AREAS, MAX_BOXES, Matching
from .pairs import box_xywh

if TYPE_CHECKING:
    from .pairs import Pairs

_STATS = "ap ap50 ap75 ap_small ap_medium ap_large ar_1 ar_10 ar_100"
STAT_INDEX = {name: index for index, name in enumerate(_STATS.split())}
"""Names of the measures, and their indices among COCO's twelve numbers."""


def measures(pairs: "Pairs") -> Measures:
    """ap, ap50, ap75 and ar_100 of phrases: each pair an image, one category, pairs without truth included."""
    truths: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    for number, pair in enumerate(pairs.all, 1):
        sides = (truths, pair.truths_G4, [1.0] * len(pair.truths_G4)), (predictions, pair.boxes_P4, pair.scores_P)
        for rows, boxes_B4, scores_B in sides:
            for box, score in zip(box_xywh(boxes_B4), scores_B, strict=True):
                row = {"id": len(rows) + 1, "image_id": number, "category_id": 1, "iscrowd": 0, "score": float(score)}
                rows.append(row | {"bbox": box, "area": box[2] * box[3]})
    images = [{"id": row + 1, "width": 1, "height": 1} for row in range(len(pairs.all))]
    truth = {"images": images, "categories": [{"id": 1, "name": "phrase"}], "annotations": truths}
    stats = coco_stats(truth, predictions, "bbox")
    values = {name: stats[STAT_INDEX[name]] for name in ("ap", "ap50", "ap75", "ar_100")}
    recall = average_recall(pairs.hits, MAX_BOXES, values["ar_100"])
    return {**average_precisions(pairs.matching, values), "ar_100": recall}


def average_precisions(matching: Matching, values: Mapping[str, float]) -> dict[str, RankedHits]:
    """ap, ap50, ap75, and ap_small, ap_medium, ap_large where `values` names them; values as given there."""
    whole = matching.rank()
    split = {key: whole[key] for key in ("hits_DT", "ignored_DT") if whole[key] is not None}  # these have thresholds
    # one ranking, and of its ten thresholds all, the first (.5) and the sixth (.75)
    parts = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}
    ranks = {name: whole | {key: by_DT[:, part] for key, by_DT in split.items()} for name, part in parts.items()}
    ranks |= {f"ap_{area}": matching.rank(area) for area in AREAS if f"ap_{area}" in values}
    return {name: RankedHits(**rank, value=values[name]) for name, rank in ranks.items()}


def average_recall(hits: RankedHits, max_boxes: int, value: float) -> Sums:
    """Recall of the `max_boxes` best predictions of each pair, mean over thresholds and categories with truth.

    `hits`: the ranking of all ten thresholds, the pairs for samples.
    """
    matched_D = hits.hits_DT.mean(axis=1) * (hits.rank_in_sample_D < max_boxes)
    matched_N = np.bincount(hits.samples_D, matched_D, len(hits.rows_N))
    matched_NK = np.where(hits.truths_NK > 0, matched_N[:, None], 0.0)
    columns_NK = np.concatenate([matched_NK, hits.truths_NK.astype(np.float64)], 1)

    def mean_recall(sums_RC: Floats) -> Floats:
        matched_RK, truths_RK = np.split(sums_RC, 2, axis=1)
        has_truth_RK = truths_RK > 0
        with np.errstate(invalid="ignore"):
            return (matched_RK / np.where(has_truth_RK, truths_RK, 1)).sum(1) / has_truth_RK.sum(1)

    return Sums(value=value, rows_N=hits.rows_N, columns_NK=columns_NK, formula=mean_recall)


def coco_stats(
    truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]], iou_type: Literal["bbox", "segm"]
) -> list[float]:
    """COCO's twelve numbers by faster_coco_eval, `STAT_INDEX` names nine; -1 where no true region is of a size.

    Annotation ids must not be 0, which COCO's matching reads as "unmatched".
    """
    reference = COCO({**truth, "annotations": [dict(row) for row in truth["annotations"]]})
    results = reference.loadRes([dict(row) for row in predictions])
    evaluation = COCOeval_faster(reference, results, iou_type, print_function=lambda *_: None)
    evaluation.run()
    return [float(value) for value in evaluation.stats]
