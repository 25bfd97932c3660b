"""Phrase grounding: COCO's measures with each (image, phrase) as its own image, and those of zero, one or many boxes.

Pairs without a true region stay in: their predictions are false positives and lower the average precision.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import datasets
import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from ...grounding.bad_input import BadInput
from ...grounding.geometry import Boxes, area
from ...grounding.types import Region
from ..statistics.measure import Floats, Ints, Measure, Sums, mean
from ..statistics.ranking import RankedHits
from .calibration import BINS, brier, calibration_error
from .detection import MOST_BOXES, PLACES, Matching, average_precisions, average_recall, coco_stats
from .froc import Froc
from .presence import auroc
from .shell import MeasureMetric
from .sums import divide, sums

PROTOCOL = "phrase_grounding"
VERSION = "2"


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """One phrase on one image. Boxes are xyxy in pixels, predictions in falling order of `scores_P`, in [0, 1].

    `num_said`: predictions with at least the score threshold, the first ones; `dice`: None without true masks;
    `presence`: that the phrase is there at all, in [0, 1], or None: then the best box says it.
    """

    truths_G4: Boxes
    boxes_P4: Boxes
    scores_P: Floats
    num_said: int
    dice: float | None = None
    presence: float | None = None

    @cached_property
    def ious_PG(self) -> Floats:
        """float64[P, G]: continuous, no +1."""
        if not len(self.boxes_P4) or not len(self.truths_G4):
            return np.zeros((len(self.boxes_P4), len(self.truths_G4)))
        crowds = [0] * len(self.truths_G4)
        return np.asarray(coco_mask.iou(_xywh(self.boxes_P4), _xywh(self.truths_G4), crowds), np.float64)


def make_pair(
    truths: Sequence[Region], predicted: Sequence[Region], score_threshold: float = 0.5, presence: float | None = None
) -> Pair:
    """The pair of a phrase's true and predicted regions; regions with a score of at least `score_threshold` are said.

    Dice is that of the union of the masks said and the union of the true masks; it is defined where every true region
    has a mask. A prediction without one counts as its filled box. Raises `BadInput` for masks of different sizes, and
    for a presence outside [0, 1].
    """
    if presence is not None and not 0 <= presence <= 1:
        raise BadInput(f"presence is {presence}.", fix="it lies in [0, 1]")
    ranked = sorted(predicted, key=lambda region: -region.score)
    said = [region for region in ranked if region.score >= score_threshold]
    return Pair(
        truths_G4=_boxes(truths),
        boxes_P4=_boxes(ranked),
        scores_P=np.array([region.score for region in ranked], np.float64),
        num_said=len(said),
        dice=_dice(truths, said),
        presence=presence,
    )


def _boxes(regions: Sequence[Region]) -> Boxes:
    return np.array([region.box_xyxy_px for region in regions], np.float32).reshape(-1, 4)


def _xywh(boxes_xyxy: Boxes) -> list[list[float]]:
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()


def _dice(truths: Sequence[Region], said: Sequence[Region]) -> float | None:
    masks = [region.mask for region in truths if region.mask is not None]
    if not masks or len(masks) < len(truths):
        return None
    shape = masks[0].shape
    others = [region.mask if region.mask is not None else _filled(region, shape) for region in said]
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
    return float(pair.ious_PG[0].max()) if pair.ious_PG.size else 0.0


def union_iou(pair: Pair) -> float:
    """IoU of the union of the boxes said and the union of the true boxes, exact: on the grid of all their edges."""
    boxes = np.concatenate([pair.boxes_P4[: pair.num_said], pair.truths_G4]).astype(np.float64)
    xs, ys = np.unique(boxes[:, [0, 2]]), np.unique(boxes[:, [1, 3]])
    said_YX, truth_YX = _covered(boxes[: pair.num_said], xs, ys), _covered(boxes[pair.num_said :], xs, ys)
    cells_YX = np.diff(ys)[:, None] * np.diff(xs)
    return float((cells_YX * (said_YX & truth_YX)).sum() / (cells_YX * (said_YX | truth_YX)).sum())


def _covered(boxes_B4: Floats, xs: Floats, ys: Floats) -> NDArray[np.bool_]:
    """bool[Y, X]: the cells between edges that lie in some box."""
    in_x_BX = (boxes_B4[:, :1] <= xs[:-1]) & (xs[1:] <= boxes_B4[:, 2:3])
    in_y_BY = (boxes_B4[:, 1:2] <= ys[:-1]) & (ys[1:] <= boxes_B4[:, 3:])
    return in_y_BY.T.astype(np.float32) @ in_x_BX.astype(np.float32) > 0


def hungarian_iou(pair: Pair) -> float:
    """Sum of the IoUs of the best one-to-one assignment of boxes said to true boxes, over the larger number of them."""
    ious = pair.ious_PG[: pair.num_said]
    rows, columns = linear_sum_assignment(ious, maximize=True)
    return float(ious[rows, columns].sum() / max(ious.shape))


def is_exact(pair: Pair) -> bool:
    """Every true box has its own box said at IoU >= .5, and there is no other: F1 = 1; nothing said where nothing is.

    "Pr@(F1=1, IoU>=0.5)" of generalised grounding: He et al., GREC, https://arxiv.org/abs/2308.16182.
    """
    if pair.num_said != len(pair.truths_G4):
        return False
    is_met = pair.ious_PG[: pair.num_said] >= 0.5
    return int(is_met[linear_sum_assignment(is_met, maximize=True)].sum()) == pair.num_said


def grounding_measures(pairs: Sequence[Pair], bins: int = BINS) -> dict[str, Measure]:
    """Every measure of phrase grounding, by name; those that the pairs leave undefined are left out.

    All pairs: ap, ap50, ap75, ar_100; cpm (`froc`); pr_f1_50 (`is_exact`); f1_50, precision_50, recall_50 of the boxes
    said. Pairs with a true box: miou (`top_box_iou`, failures 0), acc_iou50, union_iou, hungarian_iou, t_acc
    (something said); with true masks: dice. Pairs without: n_acc (nothing said). Present and absent phrases:
    presence_auroc. Where any box is predicted: ece and brier of (score, IoU >= .5 with a true box).
    Raises `BadInput` when no pair has a true box.
    """
    present = np.array([len(pair.truths_G4) > 0 for pair in pairs], bool)
    if not present.any():
        raise BadInput("no true region in any record.", fix="score grounding on a set with annotated regions")
    ranked, values = matching(pairs), coco_values(pairs)
    found: dict[str, Measure] = dict(average_precisions(ranked, values))
    hits = RankedHits(**ranked.ranked(), value=values["ap"])
    found["ar_100"] = average_recall(hits, MOST_BOXES, values["ar_100"])
    found |= _of_present(pairs, np.flatnonzero(present))
    found |= _of_said(pairs, hits, present)
    found["cpm"] = Froc.of(hits)
    if not present.all():
        bests = [max(pair.scores_P, default=0.0) if pair.presence is None else pair.presence for pair in pairs]
        found["presence_auroc"] = auroc(np.array(bests, np.float64), present)
    if any(len(pair.scores_P) for pair in pairs):
        scored = [(pair.scores_P, is_right(pair)) for pair in pairs]
        found |= {"ece": calibration_error(scored, bins), "brier": brier(scored)}
    return found


def is_right(pair: Pair) -> NDArray[np.bool_]:
    """bool[P]: the boxes that meet some true box at IoU >= .5."""
    return pair.ious_PG.max(axis=1, initial=0) >= 0.5


def _of_present(pairs: Sequence[Pair], rows: Ints) -> dict[str, Measure]:
    here = [pairs[row] for row in rows]
    tops = np.array([top_box_iou(pair) for pair in here])
    found: dict[str, Measure] = {"miou": mean(tops, rows), "acc_iou50": mean(tops >= 0.5, rows)}
    functions: dict[str, Callable[[Pair], float]] = {
        "union_iou": union_iou,
        "hungarian_iou": hungarian_iou,
        "t_acc": lambda pair: pair.num_said > 0,
    }
    found |= {name: mean([value(pair) for pair in here], rows) for name, value in functions.items()}
    dices = [(row, pairs[row].dice) for row in rows if pairs[row].dice is not None]
    if dices:
        found["dice"] = mean([value for _, value in dices], [row for row, _ in dices])  # pyright: ignore[reportArgumentType]
    return found


def _of_said(pairs: Sequence[Pair], hits: RankedHits, present: NDArray[np.bool_]) -> dict[str, Measure]:
    """Of the boxes said, matched one to one as average precision matches them."""
    said_N, truths_N = np.array([[pair.num_said, len(pair.truths_G4)] for pair in pairs]).T
    firsts_N = np.searchsorted(hits.samples_D, np.arange(len(pairs)))
    is_said_D = np.arange(len(hits.samples_D)) - firsts_N[hits.samples_D] < said_N[hits.samples_D]
    right_N = np.bincount(hits.samples_D, hits.hits_DT[:, 0] & is_said_D, len(pairs))
    found: dict[str, Measure] = {
        "precision_50": _ratio(right_N, said_N),
        "recall_50": _ratio(right_N, truths_N),
        "f1_50": _ratio(2 * right_N, said_N + truths_N),
        "pr_f1_50": mean([is_exact(pair) for pair in pairs]),
    }
    absent = np.flatnonzero(~present)
    return found | ({"n_acc": mean(said_N[absent] == 0, absent)} if len(absent) else {})


def _ratio(above_N: NDArray[Any], below_N: NDArray[Any]) -> Sums:
    """The ratio of two sums over all pairs; 0 where nothing is below."""
    return sums(np.stack([above_N, below_N], 1).astype(np.float64), _or_zero)


def _or_zero(sums_R2: Floats) -> Floats:
    return divide(sums_R2[:, 0], sums_R2[:, 1], 0.0)


def matching(pairs: Sequence[Pair]) -> Matching:
    """The pairs as COCO matches them: one category, no crowds."""
    return Matching(
        ious=[pair.ious_PG[:MOST_BOXES] for pair in pairs],
        scores=[pair.scores_P[:MOST_BOXES] for pair in pairs],
        areas=[area(pair.boxes_P4[:MOST_BOXES].astype(np.float64)) for pair in pairs],
        truth_areas=[area(pair.truths_G4.astype(np.float64)) for pair in pairs],
        crowds=[np.zeros(len(pair.truths_G4), bool) for pair in pairs],
        categories_N=np.zeros(len(pairs), np.int64),
    )


def coco_values(pairs: Sequence[Pair]) -> dict[str, float]:
    """ap, ap50, ap75 and ar_100 of faster_coco_eval: each pair an image, one category, pairs without truth included."""
    truths = [(row, box, 1.0) for row, pair in enumerate(pairs) for box in _xywh(pair.truths_G4)]
    found = [
        (row, box, float(score))
        for row, pair in enumerate(pairs)
        for box, score in zip(_xywh(pair.boxes_P4), pair.scores_P, strict=True)
    ]
    images = [{"id": row + 1, "width": 1, "height": 1} for row in range(len(pairs))]
    truth = {"images": images, "categories": [{"id": 1, "name": "phrase"}], "annotations": _annotations(truths)}
    stats = coco_stats(truth, _annotations(found), "bbox")
    return {name: stats[PLACES[name]] for name in ("ap", "ap50", "ap75", "ar_100")}


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


_BOX = datasets.List(datasets.Value("float64"))


class PhraseGrounding(MeasureMetric):
    """`grounding_measures` of boxes for the evaluate library; one row a (image, phrase) pair.

    `predictions`: lists of `{"box_xyxy_px": [4 numbers], "score": number}`; `references`: lists of boxes likewise.
    """

    columns: ClassVar[Mapping[str, Any]] = {
        "predictions": datasets.List({"box_xyxy_px": _BOX, "score": datasets.Value("float64")}),
        "references": datasets.List({"box_xyxy_px": _BOX}),
    }

    def measures(self, predictions: list[Any], references: list[Any], **_others: Any) -> Mapping[str, Measure]:
        """`_others` are meant for the metrics this one is combined with."""
        return grounding_measures(
            [
                make_pair([_region(box) for box in truths], [_region(box) for box in found])
                for found, truths in zip(predictions, references, strict=True)
            ]
        )


def _region(row: Mapping[str, Any]) -> Region:
    box: ArrayLike = row["box_xyxy_px"]
    return Region(phrase="", box_xyxy_px=np.asarray(box, np.float32), score=row.get("score", 1.0))
