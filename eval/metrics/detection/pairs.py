"""One phrase on one image: its true boxes and its predicted ones, and all such pairs of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

from ....grounding.bad_input import BadInput
from ....grounding.geometry import Boxes, area
from ....grounding.types import Region
from ...statistics.measure import Bools, Floats
from ...statistics.ranking import RankedHits
from .coco_matching import MAX_BOXES, Matching


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """One phrase on one image. Boxes are xyxy in pixels, predictions in falling order of `scores_P`, in [0, 1].

    `num_confident`: predictions with at least the score threshold, the first ones; `dice`: None without true masks;
    `presence`: that the phrase is there at all, in [0, 1], or None: then the best box says it.
    """

    truths_G4: Boxes
    boxes_P4: Boxes
    scores_P: Floats
    num_confident: int
    dice: float | None = None
    presence: float | None = None

    @cached_property
    def ious_PG(self) -> Floats:
        """float64[P, G]: continuous, no +1."""
        if not len(self.boxes_P4) or not len(self.truths_G4):
            return np.zeros((len(self.boxes_P4), len(self.truths_G4)))
        crowds = [0] * len(self.truths_G4)
        return np.asarray(coco_mask.iou(box_xywh(self.boxes_P4), box_xywh(self.truths_G4), crowds), np.float64)

    @property
    def right_P(self) -> Bools:
        """bool[P]: the boxes that meet some true box at IoU >= .5."""
        return self.ious_PG.max(axis=1, initial=0) >= 0.5


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of a run, and what several measures need of them, made once."""

    all: Sequence[Pair]

    @cached_property
    def has_truth_N(self) -> Bools:
        """bool[N]: the phrase is there."""
        return np.array([len(pair.truths_G4) > 0 for pair in self.all], bool)

    @cached_property
    def matching(self) -> Matching:
        """The pairs as COCO matches them: one category, no crowds."""
        return Matching(
            ious=[pair.ious_PG[:MAX_BOXES] for pair in self.all],
            scores=[pair.scores_P[:MAX_BOXES] for pair in self.all],
            areas=[area(pair.boxes_P4[:MAX_BOXES].astype(np.float64)) for pair in self.all],
            truth_areas=[area(pair.truths_G4.astype(np.float64)) for pair in self.all],
            crowds=[np.zeros(len(pair.truths_G4), bool) for pair in self.all],
            categories_N=np.zeros(len(self.all), np.int64),
        )

    @cached_property
    def hits(self) -> RankedHits:
        """The ranking at COCO's ten thresholds; its value means nothing."""
        return RankedHits(**self.matching.rank(), value=float("nan"))


def make_pair(
    truths: Sequence[Region], predicted: Sequence[Region], score_threshold: float = 0.5, presence: float | None = None
) -> Pair:
    """The pair of a phrase's true and predicted regions; confident ones have a score of at least `score_threshold`.

    Dice is that of the union of confident masks and the union of the true masks; it is defined where every true region
    has a mask. A prediction without one counts as its filled box. Raises `BadInput` for masks of different sizes, and
    for a presence outside [0, 1].
    """
    if presence is not None and not (isinstance(presence, int | float) and 0 <= presence <= 1):
        raise BadInput(f"presence is {presence!r}.", fix="it lies in [0, 1]")
    ranked = sorted(predicted, key=lambda region: -region.score)  # stable: equal scores keep the records' order
    confident = [region for region in ranked if region.score >= score_threshold]
    return Pair(
        truths_G4=np.array([region.box_xyxy_px for region in truths], np.float32).reshape(-1, 4),
        boxes_P4=np.array([region.box_xyxy_px for region in ranked], np.float32).reshape(-1, 4),
        scores_P=np.array([region.score for region in ranked], np.float64),
        num_confident=len(confident),
        dice=_dice_of_masks(truths, confident),
        presence=presence,
    )


def box_xywh(boxes_xyxy: Boxes) -> list[list[float]]:
    """Boxes as COCO has them: x, y, width, height."""
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()


def _dice_of_masks(truths: Sequence[Region], confident: Sequence[Region]) -> float | None:
    masks = [region.mask for region in truths if region.mask is not None]
    if not masks or len(masks) < len(truths):
        return None  # Dice against a part of the truth would punish what is right
    others = [np.zeros(masks[0].shape, bool)]
    for region in confident:
        if (mask := region.mask) is None:  # a box alone counts as filled
            x0, y0, x1, y1 = np.round(region.box_xyxy_px).astype(int).clip(0)
            mask = np.zeros(masks[0].shape, bool)
            mask[y0:y1, x0:x1] = True
        others.append(mask)
    if len(shapes := {mask.shape for mask in [*masks, *others]}) > 1:
        problem = f"masks of one phrase have different sizes {sorted(shapes)}."
        raise BadInput(problem, fix="masks are those of the original image")
    return dice(np.any(others, axis=0), np.any(masks, axis=0))


def dice(a_HW: NDArray[np.bool_], b_HW: NDArray[np.bool_]) -> float:
    """2 |a and b| / (|a| + |b|); two empty masks agree (1)."""
    total = int(a_HW.sum()) + int(b_HW.sum())
    return 2 * int((a_HW & b_HW).sum()) / total if total else 1.0
