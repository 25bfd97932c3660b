"""Phrase grounding: COCO average precision with each (image, phrase) as its own image, top-box IoU, mask Dice.

Pairs without a true region stay in: their predictions are false positives and lower the average precision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import datasets
import evaluate
import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import ArrayLike, NDArray

from ...grounding.bad_input import BadInput
from ...grounding.geometry import Boxes, iou
from ...grounding.types import Region
from ..measure import Floats, Measure, RankedHits, mean

PROTOCOL = "phrase_grounding"
VERSION = "1"

MOST_BOXES = 100
"""COCO's limit: the highest scoring predictions of a pair that count."""
THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""COCO's IoU thresholds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """One phrase on one image. Boxes are xyxy in pixels; `scores_P` in [0, 1]; `dice`: None without true masks."""

    truths_G4: Boxes
    boxes_P4: Boxes
    scores_P: Floats
    dice: float | None = None


def make_pair(truths: Sequence[Region], predicted: Sequence[Region], score_threshold: float = 0.5) -> Pair:
    """The pair of a phrase's true and predicted regions.

    Dice is that of the union of the masks of predictions with a score of at least `score_threshold` and the union of
    the true masks; it is defined where every true region has a mask. A prediction without one counts as its filled box.
    """
    return Pair(
        truths_G4=_boxes(truths),
        boxes_P4=_boxes(predicted),
        scores_P=np.array([region.score for region in predicted], np.float64),
        dice=_dice(truths, [region for region in predicted if region.score >= score_threshold]),
    )


def _boxes(regions: Sequence[Region]) -> Boxes:
    return np.array([region.box_xyxy_px for region in regions], np.float32).reshape(-1, 4)


def _dice(truths: Sequence[Region], predicted: Sequence[Region]) -> float | None:
    masks = [region.mask for region in truths if region.mask is not None]
    if not masks or len(masks) < len(truths):
        return None
    shape = masks[0].shape
    others = [region.mask if region.mask is not None else _filled(region, shape) for region in predicted]
    if any(mask.shape != shape for mask in [*masks, *others]):
        sizes = sorted({mask.shape for mask in [*masks, *others]})
        raise BadInput(
            f"masks of one phrase have different sizes {sizes}.", fix="masks are those of the original image"
        )
    empty = np.zeros(shape, bool)
    return dice(np.any([empty, *others], axis=0), np.any(masks, axis=0))


def _filled(region: Region, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    x0, y0, x1, y1 = np.round(region.box_xyxy_px).astype(int).clip(0)
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def dice(a_HW: NDArray[np.bool_], b_HW: NDArray[np.bool_]) -> float:
    """2 |a and b| / (|a| + |b|); two empty masks agree (1)."""
    total = int(a_HW.sum()) + int(b_HW.sum())
    return 2 * int((a_HW & b_HW).sum()) / total if total else 1.0


def top_box_iou(pair: Pair) -> float:
    """IoU of the best scoring box with the true box it meets best; 0 without a predicted box."""
    if not len(pair.scores_P):
        return 0.0
    return float(iou(pair.boxes_P4[int(pair.scores_P.argmax())], pair.truths_G4).max())


def grounding_measures(pairs: Sequence[Pair]) -> dict[str, Measure]:
    """ap, ap50, ap75 over all pairs; miou and acc_iou50 over pairs with a true box; dice over pairs with true masks.

    miou is the mean of `top_box_iou`, failures counted as 0; acc_iou50 the part of it at or above 0.5. Raises
    `BadInput` when no pair has a true box.
    """
    with_truth = [row for row, pair in enumerate(pairs) if len(pair.truths_G4)]
    if not with_truth:
        raise BadInput("no true region in any record.", fix="score grounding on a set with annotated regions")
    hits = ranked_hits(pairs)
    values = dict(zip(("ap", "ap50", "ap75"), coco_ap(pairs), strict=True))
    columns = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}
    found: dict[str, Measure] = {
        name: RankedHits(value=values[name], **hits | {"hits_DT": hits["hits_DT"][:, columns[name]]}) for name in values
    }
    tops = np.array([top_box_iou(pairs[row]) for row in with_truth])
    found["miou"] = mean(tops, with_truth)
    found["acc_iou50"] = mean(tops >= 0.5, with_truth)
    with_masks = [row for row, pair in enumerate(pairs) if pair.dice is not None]
    if with_masks:
        found["dice"] = mean([pairs[row].dice for row in with_masks], with_masks)  # pyright: ignore[reportArgumentType]
    return found


def ranked_hits(pairs: Sequence[Pair]) -> dict[str, Any]:
    """What `RankedHits` needs, but for its value: COCO's greedy matching of each pair at each threshold."""
    scores: list[Floats] = []
    hits: list[NDArray[np.bool_]] = []
    for pair in pairs:
        order_P = np.argsort(-pair.scores_P, kind="stable")[:MOST_BOXES]
        scores.append(pair.scores_P[order_P])
        hits.append(_match(pair.boxes_P4[order_P], pair.truths_G4))
    return {
        "rows_N": np.arange(len(pairs)),
        "scores_D": np.concatenate(scores),
        "samples_D": np.repeat(np.arange(len(pairs)), [len(part) for part in scores]),
        "hits_DT": np.concatenate(hits),
        "truths_N": np.array([len(pair.truths_G4) for pair in pairs]),
    }


def _match(boxes_P4: Boxes, truths_G4: Boxes) -> NDArray[np.bool_]:
    """bool[P, T]: boxes in falling order of score take the free true box they overlap most, if at the threshold."""
    hits_PT = np.zeros((len(boxes_P4), len(THRESHOLDS)), bool)
    if not len(boxes_P4) or not len(truths_G4):
        return hits_PT
    ious_PG = np.asarray(coco_mask.iou(_xywh(boxes_P4), _xywh(truths_G4), [0] * len(truths_G4)))
    for column, threshold in enumerate(THRESHOLDS):
        free_PG = ious_PG.copy()
        for row in range(len(boxes_P4)):
            best = len(truths_G4) - 1 - int(free_PG[row, ::-1].argmax())  # the last of equals, as COCO does
            if free_PG[row, best] >= min(threshold, 1 - 1e-10):
                hits_PT[row, column] = True
                free_PG[:, best] = -1
    return hits_PT


def coco_ap(pairs: Sequence[Pair]) -> tuple[float, float, float]:
    """AP, AP50, AP75 of faster_coco_eval: each pair an image, one category, pairs without truth included."""
    truths = [(row, box, 1.0) for row, pair in enumerate(pairs) for box in _xywh(pair.truths_G4)]
    found = [
        (row, box, float(score))
        for row, pair in enumerate(pairs)
        for box, score in zip(_xywh(pair.boxes_P4), pair.scores_P, strict=True)
    ]
    images = [{"id": row + 1, "width": 1, "height": 1} for row in range(len(pairs))]
    truth = {"images": images, "categories": [{"id": 1, "name": "phrase"}], "annotations": _annotations(truths)}
    stats = coco_stats(truth, _annotations(found), "bbox")
    return stats[0], stats[1], stats[2]


def _annotations(rows: Sequence[tuple[int, list[float], float]]) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "image_id": row + 1,
            "category_id": 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
            "score": score,
        }
        for number, (row, box, score) in enumerate(rows, 1)
    ]


def coco_stats(
    truth: Mapping[str, Any], found: Sequence[Mapping[str, Any]], iou_type: Literal["bbox", "segm"]
) -> list[float]:
    """COCO's twelve numbers (AP, AP50, AP75, ..., AR100 at place 8) by faster_coco_eval, silently."""
    reference = COCO(dict(truth), use_deepcopy=True)
    evaluation = COCOeval_faster(reference, reference.loadRes(list(found)), iou_type, print_function=lambda *_: None)
    evaluation.run()
    return [float(value) for value in evaluation.stats]


def _xywh(boxes_xyxy: Boxes) -> list[list[float]]:
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()


class PhraseGrounding(evaluate.Metric):
    """`grounding_measures` of boxes for the evaluate library; one row a (image, phrase) pair.

    `predictions`: lists of `{"box_xyxy_px": [4 numbers], "score": number}`; `references`: lists of boxes likewise.
    """

    def __init__(self, **options: Any):
        super().__init__(**{"keep_in_memory": True, **options})

    def _info(self) -> evaluate.MetricInfo:
        box = datasets.List(datasets.Value("float64"))
        scored = {"box_xyxy_px": box, "score": datasets.Value("float64")}
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description=self.__doc__ or "",
            features=datasets.Features(
                {"predictions": datasets.List(scored), "references": datasets.List({"box_xyxy_px": box})}
            ),
        )

    def _compute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, predictions: list[Any], references: list[Any], **_others: Any
    ) -> dict[str, float]:
        """`_others` are meant for the metrics this one is combined with."""
        pairs = [
            make_pair([_region(box) for box in truths], [_region(box) for box in found])
            for found, truths in zip(predictions, references, strict=True)
        ]
        return {name: measure.value for name, measure in grounding_measures(pairs).items()}


def _region(row: Mapping[str, Any]) -> Region:
    box: ArrayLike = row["box_xyxy_px"]
    return Region(phrase="", box_xyxy_px=np.asarray(box, np.float32), score=row.get("score", 1.0))
