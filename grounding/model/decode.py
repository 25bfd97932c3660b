"""Dense output to regions' boxes, scores, embeddings and points, one image and phrase at a time; our own NMS.

N points, K phrases, R kept regions, D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .head import STRIDES, all_points
from .losses import ANCHOR_STRIDES, box_area, box_iou
from .medglip import MedGlipOutput

TOP_POINTS = 300
"""Points a phrase that enter NMS."""


@dataclass
class DecodedRegions:
    """Regions of one phrase, best first; boxes in pixels of the input, `points_R` where their coefficients stand."""

    boxes_R4: Tensor
    scores_R: Tensor
    embeddings_RD: Tensor
    points_R: Tensor


def decode(
    output: MedGlipOutput, image: int, phrase: int, min_score: float, nms_iou: float, max_regions: int
) -> DecodedRegions:
    """The regions of one phrase in one image; score = sqrt(phrase x centreness)."""
    scores_N = (output.logits[image, :, phrase].sigmoid() * output.centreness[image].sigmoid()).sqrt()
    top = scores_N.topk(min(TOP_POINTS, len(scores_N))).indices
    top = top[scores_N[top] >= min_score]
    points = top[nms(output.boxes[image, top], scores_N[top], nms_iou)[:max_regions]]
    return DecodedRegions(output.boxes[image, points], scores_N[points], output.embeddings[image, points], points)


def nms(boxes_P4: Tensor, scores_P: Tensor, max_iou: float) -> Tensor:
    """int64[R] indices of the boxes that stay, best first: greedy, a box goes if it overlaps a better one by more."""
    order = scores_P.argsort(descending=True, stable=True)
    # one transfer to the CPU, where the greedy loop runs: a step a box on a GPU would wait for each answer
    overlaps_PP = (box_iou(boxes_P4[order], boxes_P4[order]) > max_iou).cpu().numpy()
    best: list[int] = []
    for index in range(len(order)):
        if not overlaps_PP[index, best].any():
            best.append(index)
    return order[torch.tensor(best, dtype=torch.long, device=order.device)]


def point_of(boxes_G4: Tensor, side_px: int) -> Tensor:
    """int64[G]: the point that stands for a given box, nearest to its centre on the level that fits its size."""
    points_N2, strides_N = all_points((side_px, side_px), boxes_G4.device)
    sizes_G = box_area(boxes_G4).clamp(min=1e-6).sqrt()
    anchors = ANCHOR_STRIDES * torch.tensor(STRIDES, dtype=torch.float32, device=boxes_G4.device)
    level_G = (sizes_G[:, None].log() - anchors.log()).abs().argmin(1)
    stride_G = torch.tensor(STRIDES, dtype=torch.float32, device=boxes_G4.device)[level_G]
    distance_GN = torch.cdist((boxes_G4[:, :2] + boxes_G4[:, 2:]) / 2, points_N2)
    return distance_GN.where(strides_N == stride_G[:, None], distance_GN.new_tensor(torch.inf)).argmin(1)
