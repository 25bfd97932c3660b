"""The training objective: which point answers for which box, focal loss with several phrases a box, GIoU, masks.

B batch, N points, K phrases, G true boxes of an image, P positive points of an image, h w of the prototypes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .head import STRIDES, all_points, mask_logits, side_of
from .medglip import MedGlipOutput

CANDIDATES_A_LEVEL = 9
ANCHOR_STRIDES = 5.0
"""Side of the square that stands for a point, in strides of its level."""
BOX_WEIGHT = 2.0
MASKS_AN_IMAGE = 12
MASK_MARGIN_PX = 4
SAME_BOX_IOU = 0.95
"""Boxes that agree so well are one place: a point that answers for either is positive for the phrases of both."""


@dataclass
class Target:
    """What is true of one image. `boxes_G4` float xyxy in input pixels; `labels_GK` bool: the phrases each box is
    positive for, its own and its ancestors'; `within_GK` bool: those it may lie within, of which it says nothing;
    `masks_Ghw` float in [0, 1] at the prototypes' stride; `has_mask_G` bool; `known_K` bool: phrases that the data set
    annotates, of another one only is known what the true boxes are not; `present_K` bool: phrases that are there.
    """

    boxes_G4: Tensor
    labels_GK: Tensor
    masks_Ghw: Tensor
    has_mask_G: Tensor
    known_K: Tensor
    within_GK: Tensor
    present_K: Tensor

    def to(self, device: torch.device) -> "Target":
        """The same on a device."""
        return Target(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def detection_losses(
    output: MedGlipOutput, targets: list[Target], attention_mask_BKL: Tensor, presence_weight: float = 0.5
) -> dict[str, Tensor]:
    """Named scalars; `loss` is their weighted sum. Padded phrases (no token) count for nothing."""
    logits_BNK = output.logits
    side_px = side_of(logits_BNK.shape[1])
    points_N2, strides_N = all_points((side_px, side_px), logits_BNK.device)
    truth_BNK, counts_BNK = torch.zeros_like(logits_BNK), torch.zeros_like(logits_BNK)
    parts: list[dict[str, Tensor]] = []
    # One image, phrases "liver" (annotated, there), "kidney" (annotated, absent), "tumor" and "abdomen" (neither):
    #                       liver        kidney       tumor                            abdomen
    #   background point    truth 0      truth 0      does not count: may be there     does not count
    #   point of the liver  truth 1      truth 0      truth 0: a liver is no tumor     does not count: a part of it
    for i, target in enumerate(t.to(logits_BNK.device) for t in targets):
        box_N = assign(points_N2, strides_N, target.boxes_G4)
        points = (box_N >= 0).nonzero()[:, 0]
        num_phrases = len(target.known_K)
        counts_BNK[i, :, :num_phrases] = target.known_K.to(counts_BNK)
        if len(points):
            own = box_N[points]
            same_GG = box_iou(target.boxes_G4, target.boxes_G4) > SAME_BOX_IOU
            labels_GK = (same_GG.float() @ target.labels_GK.float()) > 0  # boxes drawn twice share their phrases
            within_GK = ((same_GG.float() @ target.within_GK.float()) > 0) & ~labels_GK
            truth_BNK[i, points, :num_phrases] = labels_GK[own].to(truth_BNK)
            counts_BNK[i, points, :num_phrases] = (~within_GK[own]).to(counts_BNK)
            centre_P = centreness_target(points_N2[points], target.boxes_G4[own])
            parts.append(_positive_losses(output, i, points, own, centre_P, target))
    num_positive = max(1, sum(len(part["centre"]) for part in parts))
    asked_BK = (attention_mask_BKL.sum(-1) > 0).to(logits_BNK)
    phrase = (focal_loss(logits_BNK, truth_BNK) * counts_BNK * asked_BK[:, None]).sum() / num_positive
    presence = _presence_loss(output.presence, targets, asked_BK)
    # Without a positive point these losses are zero, yet a part of the graph: every process of a training must have
    # a gradient for every parameter.
    zero = 0 * (output.boxes.sum() + output.centreness.sum() + output.prototypes.sum())
    box, centre, mask = zero, zero, zero
    if parts:
        weight = torch.cat([part["weight"] for part in parts])
        box = (torch.cat([part["box"] for part in parts]) * weight).sum() / weight.sum().clamp(min=1e-6)
        centre = torch.cat([part["centre"] for part in parts]).mean()
        mask = torch.cat([part["mask"] for part in parts]).sum() / max(1, sum(len(part["mask"]) for part in parts))
    loss = phrase + BOX_WEIGHT * box + centre + mask + presence_weight * presence
    return {"loss": loss, "phrase": phrase, "box": box, "mask": mask, "presence": presence}


def _presence_loss(logits_BK: Tensor, targets: list[Target], asked_BK: Tensor) -> Tensor:
    """Mean binary cross-entropy over the asked phrases that the data sets annotate, or that are there."""
    truth_BK, counts_BK = torch.zeros_like(logits_BK), torch.zeros_like(logits_BK)
    for i, target in enumerate(targets):
        num_phrases = len(target.present_K)
        truth_BK[i, :num_phrases] = target.present_K.to(truth_BK)
        counts_BK[i, :num_phrases] = (target.known_K | target.present_K).to(truth_BK)
    counts_BK = counts_BK * asked_BK
    losses_BK = F.binary_cross_entropy_with_logits(logits_BK, truth_BK, reduction="none")
    return (losses_BK * counts_BK).sum() / counts_BK.sum().clamp(min=1)


def _positive_losses(
    output: MedGlipOutput, image: int, points: Tensor, own: Tensor, centre_P: Tensor, target: Target
) -> dict[str, Tensor]:
    """Losses of one image's positive points, one value a point (mask: one a chosen point)."""
    with_mask = target.has_mask_G[own].nonzero()[:, 0]
    # masks of all points would fill the memory: a box of hundreds of points is outlined by a few of them, drawn anew
    chosen = with_mask[torch.randperm(len(with_mask))[:MASKS_AN_IMAGE].to(with_mask.device)]
    masks_Phw = mask_logits(output.coefficients[image, points[chosen]], output.prototypes[image])
    stride = side_of(output.logits.shape[1]) // masks_Phw.shape[-1]
    return {
        "weight": centre_P,
        "box": 1 - giou(output.boxes[image, points], target.boxes_G4[own]),
        "centre": F.binary_cross_entropy_with_logits(output.centreness[image, points], centre_P, reduction="none"),
        "mask": mask_loss(masks_Phw, target.masks_Ghw[own[chosen]], target.boxes_G4[own[chosen]], stride),
    }


def assign(points_N2: Tensor, strides_N: Tensor, boxes_G4: Tensor) -> Tensor:
    """int64[N]: each point's box, -1 for background. Every box has a point, unless a better fitting box took them all.

    ATSS, adaptive training sample selection (Zhang et al., CVPR 2020, section 3): candidates are the nearest points of
    each level; positive are those inside the box whose square overlaps it by at least mean + standard deviation over
    the candidates. A point claimed twice goes to the larger overlap.
    """
    if not len(boxes_G4):
        return torch.full((len(points_N2),), -1, dtype=torch.long, device=points_N2.device)
    half_N1 = strides_N[:, None] * ANCHOR_STRIDES / 2
    overlap_NG = box_iou(torch.cat([points_N2 - half_N1, points_N2 + half_N1], 1), boxes_G4)
    distance_NG = torch.cdist(points_N2, (boxes_G4[:, :2] + boxes_G4[:, 2:]) / 2)
    candidate_NG = torch.zeros_like(distance_NG, dtype=torch.bool)
    for stride in STRIDES:
        rows = (strides_N == stride).nonzero()[:, 0]
        nearest = distance_NG[rows].topk(min(CANDIDATES_A_LEVEL, len(rows)), dim=0, largest=False).indices
        candidate_NG.scatter_(0, rows[nearest], True)
    # The threshold is the box's own: its candidates overlap it by .1 .2 .5 .6, so mean + deviation is .59 and one of
    # them is positive. A large box on the right level has many good candidates, a thin one few that are all poor: no
    # fixed threshold serves both.
    count_G = candidate_NG.sum(0)
    mean_G = (overlap_NG * candidate_NG).sum(0) / count_G
    spread_G = (((overlap_NG - mean_G) ** 2 * candidate_NG).sum(0) / (count_G - 1).clamp(min=1)).sqrt()
    after, before = points_N2[:, None] > boxes_G4[None, :, :2], points_N2[:, None] < boxes_G4[None, :, 2:]
    positive_NG = candidate_NG & (overlap_NG >= mean_G + spread_G) & (after & before).all(-1)
    # a box smaller than the grid holds no point: the one nearest to its centre answers for it
    nearest_NG = torch.zeros_like(positive_NG).scatter_(0, distance_NG.argmin(0, keepdim=True), True)
    positive_NG = positive_NG | (nearest_NG & ~positive_NG.any(0))
    best_N = overlap_NG.where(positive_NG, overlap_NG.new_tensor(-1.0)).max(1)
    return best_N.indices.where(best_N.values >= 0, torch.full_like(best_N.indices, -1))


def box_iou(a_A4: Tensor, b_B4: Tensor) -> Tensor:
    """float[A, B] intersection over union of xyxy boxes."""
    sides = torch.minimum(a_A4[:, None, 2:], b_B4[None, :, 2:]) - torch.maximum(a_A4[:, None, :2], b_B4[None, :, :2])
    inter = sides.clamp(min=0).prod(-1)
    areas = (box_area(x) for x in (a_A4[:, None], b_B4[None]))
    return inter / (sum(areas) - inter).clamp(min=1e-6)


def box_area(box: Tensor) -> Tensor:
    """Area over the last axis, zero for inverted boxes."""
    return (box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1)


def focal_loss(logits: Tensor, truth: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Elementwise focal loss on independent sigmoids (Lin et al., ICCV 2017); `truth` in {0, 1}."""
    chance = logits.sigmoid()
    wrong = truth * (1 - chance) + (1 - truth) * chance
    weight = truth * alpha + (1 - truth) * (1 - alpha)
    return weight * wrong**gamma * F.binary_cross_entropy_with_logits(logits, truth, reduction="none")


def giou(a_P4: Tensor, b_P4: Tensor) -> Tensor:
    """float[P] generalised IoU in [-1, 1] of paired xyxy boxes (Rezatofighi et al., CVPR 2019)."""
    sides = torch.minimum(a_P4[:, 2:], b_P4[:, 2:]) - torch.maximum(a_P4[:, :2], b_P4[:, :2])
    inter = sides.clamp(min=0).prod(-1)
    union = (box_area(a_P4) + box_area(b_P4) - inter).clamp(min=1e-6)
    hull = torch.cat([torch.minimum(a_P4[:, :2], b_P4[:, :2]), torch.maximum(a_P4[:, 2:], b_P4[:, 2:])], 1)
    around = box_area(hull).clamp(min=1e-6)
    return inter / union - (around - union) / around


def centreness_target(points_P2: Tensor, boxes_P4: Tensor) -> Tensor:
    """float[P] in [0, 1]: 1 at the box's centre, 0 at its edge (Tian et al., FCOS, ICCV 2019)."""
    near, far = points_P2 - boxes_P4[:, :2], boxes_P4[:, 2:] - points_P2
    ratio = torch.minimum(near, far).clamp(min=0) / torch.maximum(near, far).clamp(min=1e-6)
    return ratio.prod(-1).sqrt()


def mask_loss(logits_Phw: Tensor, truth_Phw: Tensor, boxes_P4: Tensor, stride: int) -> Tensor:
    """float[P]: Dice plus mean binary cross-entropy inside the box grown by a margin."""
    boxes, margin = boxes_P4 / stride, MASK_MARGIN_PX / stride
    y, x = (torch.arange(n, device=boxes.device) + 0.5 for n in logits_Phw.shape[1:])
    x0, y0, x1, y1 = (edge[:, None] for edge in boxes.unbind(1))
    in_x, in_y = (x > x0 - margin) & (x < x1 + margin), (y > y0 - margin) & (y < y1 + margin)
    inside = (in_y[:, :, None] & in_x[:, None]).to(logits_Phw)
    cross = F.binary_cross_entropy_with_logits(logits_Phw, truth_Phw, reduction="none")
    chance, truth = logits_Phw.sigmoid() * inside, truth_Phw * inside
    dice = (2 * (chance * truth).sum((1, 2)) + 1) / (chance.sum((1, 2)) + truth.sum((1, 2)) + 1)
    return 1 - dice + (cross * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def losses_of(model: Any, batch: dict[str, Any], presence_weight: float = 0.5) -> dict[str, Tensor]:
    """Run the model on a training batch (the processor's tensors and `targets`) and score it."""
    inputs = {name: value for name, value in batch.items() if name != "targets"}
    return detection_losses(model(**inputs), batch["targets"], batch["attention_mask"], presence_weight)
