"""The training objective: focal loss with several phrases a box, GIoU, centreness, masks.

B batch, N points, K phrases, G true boxes of an image, P positive points of an image, h w of the prototypes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .assign import assign, box_area, box_iou
from .head import all_points, mask_logits
from .medglip import MedGlipOutput

BOX_WEIGHT = 2.0
PRESENCE_WEIGHT = 0.5
MASKS_AN_IMAGE = 12
MASK_MARGIN_PX = 4
SAME_BOX_IOU = 0.95
"""Boxes that agree so well are one place: a point that answers for either is positive for the phrases of both."""


@dataclass
class Target:
    """What is true of one image. `boxes_G4` float xyxy in input pixels; `labels_GK` bool: the phrases each box is
    positive for, its own and its ancestors'; `masks_Ghw` float in [0, 1] at stride 4; `has_mask_G` bool; `known_K`
    bool: phrases that the data set annotates. Of another one only is known what the true boxes are not.
    """

    boxes_G4: Tensor
    labels_GK: Tensor
    masks_Ghw: Tensor
    has_mask_G: Tensor
    known_K: Tensor

    def to(self, device: torch.device) -> "Target":
        """The same on a device."""
        return Target(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def detection_losses(output: MedGlipOutput, targets: list[Target], attention_mask_BKL: Tensor) -> dict[str, Tensor]:
    """Named scalars; `loss` is their weighted sum. Padded phrases (no token) count for nothing."""
    logits_BNK, boxes_BN4 = output.logits, output.boxes
    prototypes = output.prototypes
    side = tuple(4 * n for n in prototypes.shape[-2:])
    points_N2, strides_N = all_points(side, logits_BNK.device)  # pyright: ignore[reportArgumentType]
    truth_BNK, counts_BNK = torch.zeros_like(logits_BNK), torch.zeros_like(logits_BNK)
    parts: list[dict[str, Tensor]] = []
    for i, target in enumerate(t.to(logits_BNK.device) for t in targets):
        box_N = assign(points_N2, strides_N, target.boxes_G4)
        points = (box_N >= 0).nonzero()[:, 0]
        num_phrases = len(target.known_K)
        counts_BNK[i, :, :num_phrases] = target.known_K.to(counts_BNK)
        if len(points):
            own = box_N[points]
            truth_BNK[i, points, :num_phrases] = _shared_labels(target)[own].to(truth_BNK)
            counts_BNK[i, points, :num_phrases] = 1.0
            centre_P = centreness_target(points_N2[points], target.boxes_G4[own])
            parts.append(_positive_losses(output, i, points, own, centre_P, target))
    num_positive = max(1, sum(len(part["centre"]) for part in parts))
    asked_BK = (attention_mask_BKL.sum(-1) > 0).to(logits_BNK)
    phrase = (focal_loss(logits_BNK, truth_BNK) * counts_BNK * asked_BK[:, None]).sum() / num_positive
    presence = _presence_loss(output.presence, targets, asked_BK)
    zero = 0 * (boxes_BN4.sum() + output.centreness.sum() + prototypes.sum())
    box, centre, mask = zero, zero, zero
    if parts:
        weight = torch.cat([part["weight"] for part in parts])
        box = (torch.cat([part["box"] for part in parts]) * weight).sum() / weight.sum().clamp(min=1e-6)
        centre = torch.cat([part["centre"] for part in parts]).mean()
        mask = torch.cat([part["mask"] for part in parts]).sum() / max(1, sum(len(part["mask"]) for part in parts))
    loss = phrase + BOX_WEIGHT * box + centre + mask + PRESENCE_WEIGHT * presence
    return {"loss": loss, "phrase": phrase, "box": box, "mask": mask, "presence": presence}


def _presence_loss(logits_BK: Tensor, targets: list[Target], asked_BK: Tensor) -> Tensor:
    """Mean binary cross-entropy over the asked phrases that the data sets annotate, or that are there."""
    truth_BK, counts_BK = torch.zeros_like(logits_BK), torch.zeros_like(logits_BK)
    for i, target in enumerate(targets):
        is_present_K = target.labels_GK.any(0)
        truth_BK[i, : len(is_present_K)] = is_present_K.to(truth_BK)
        counts_BK[i, : len(is_present_K)] = (target.known_K | is_present_K).to(truth_BK)
    counts_BK = counts_BK * asked_BK
    losses_BK = F.binary_cross_entropy_with_logits(logits_BK, truth_BK, reduction="none")
    return (losses_BK * counts_BK).sum() / counts_BK.sum().clamp(min=1)


def _shared_labels(target: Target) -> Tensor:
    """bool[G, K] with the phrases of boxes drawn twice joined."""
    same_GG = box_iou(target.boxes_G4, target.boxes_G4) > SAME_BOX_IOU
    return (same_GG.float() @ target.labels_GK.float()) > 0


def _positive_losses(
    output: MedGlipOutput, image: int, points: Tensor, own: Tensor, centre_P: Tensor, target: Target
) -> dict[str, Tensor]:
    """Losses of one image's positive points, one value a point (mask: one a chosen point)."""
    boxes_P4 = output.boxes[image, points]
    logits_P = output.centreness[image, points]
    with_mask = target.has_mask_G[own].nonzero()[:, 0]
    chosen = with_mask[torch.randperm(len(with_mask))[:MASKS_AN_IMAGE].to(with_mask.device)]
    coefficients = output.coefficients[image, points[chosen]]
    masks_Phw = mask_logits(coefficients, output.prototypes[image])
    return {
        "weight": centre_P,
        "box": 1 - giou(boxes_P4, target.boxes_G4[own]),
        "centre": F.binary_cross_entropy_with_logits(logits_P, centre_P, reduction="none"),
        "mask": mask_loss(masks_Phw, target.masks_Ghw[own[chosen]], target.boxes_G4[own[chosen]]),
    }


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


def mask_loss(logits_Phw: Tensor, truth_Phw: Tensor, boxes_P4: Tensor) -> Tensor:
    """float[P]: Dice plus mean binary cross-entropy inside the box grown by a margin."""
    boxes = boxes_P4 / 4
    margin = MASK_MARGIN_PX / 4
    y, x = (torch.arange(n, device=boxes.device) + 0.5 for n in logits_Phw.shape[1:])
    x0, y0, x1, y1 = (edge[:, None] for edge in boxes.unbind(1))
    in_x, in_y = (x > x0 - margin) & (x < x1 + margin), (y > y0 - margin) & (y < y1 + margin)
    inside = (in_y[:, :, None] & in_x[:, None]).to(logits_Phw)
    cross = F.binary_cross_entropy_with_logits(logits_Phw, truth_Phw, reduction="none")
    chance = logits_Phw.sigmoid() * inside
    truth = truth_Phw * inside
    dice = (2 * (chance * truth).sum((1, 2)) + 1) / (chance.sum((1, 2)) + truth.sum((1, 2)) + 1)
    return 1 - dice + (cross * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def losses_of(model: Any, batch: dict[str, Any]) -> dict[str, Tensor]:
    """Run the model on a training batch (the processor's tensors and `targets`) and score it."""
    inputs = {name: value for name, value in batch.items() if name != "targets"}
    return detection_losses(model(**inputs), batch["targets"], batch["attention_mask"])
