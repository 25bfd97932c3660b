"""Which points answer for which true box: ATSS, adaptive training sample selection.

Source: Zhang et al., "Bridging the Gap Between Anchor-based and Anchor-free Detection", CVPR 2020, section 3.
N points, G true boxes.
"""

import torch
from torch import Tensor

from .head import STRIDES

CANDIDATES_A_LEVEL = 9
ANCHOR_STRIDES = 5.0
"""Side of the square that stands for a point, in strides of its level."""


def box_iou(a_A4: Tensor, b_B4: Tensor) -> Tensor:
    """float[A, B] intersection over union of xyxy boxes."""
    sides = torch.minimum(a_A4[:, None, 2:], b_B4[None, :, 2:]) - torch.maximum(a_A4[:, None, :2], b_B4[None, :, :2])
    inter = sides.clamp(min=0).prod(-1)
    areas = (box_area(x) for x in (a_A4[:, None], b_B4[None]))
    return inter / (sum(areas) - inter).clamp(min=1e-6)


def box_area(box: Tensor) -> Tensor:
    """Area over the last axis, zero for inverted boxes."""
    return (box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1)


def assign(points_N2: Tensor, strides_N: Tensor, boxes_G4: Tensor) -> Tensor:
    """int64[N]: each point's box, -1 for background. Every box has a point, unless a better fitting box took them all.

    Candidates are the nearest points of each level; positive are those inside the box whose square overlaps it by at
    least mean + standard deviation over the candidates. A point claimed twice goes to the larger overlap.
    """
    if not len(boxes_G4):
        return torch.full((len(points_N2),), -1, dtype=torch.long, device=points_N2.device)
    half_N1 = strides_N[:, None] * ANCHOR_STRIDES / 2
    overlap_NG = box_iou(torch.cat([points_N2 - half_N1, points_N2 + half_N1], 1), boxes_G4)
    distance_NG = torch.cdist(points_N2, (boxes_G4[:, :2] + boxes_G4[:, 2:]) / 2)
    candidate_NG = _candidates(distance_NG, strides_N)
    count_G = candidate_NG.sum(0)
    mean_G = (overlap_NG * candidate_NG).sum(0) / count_G
    spread_G = (((overlap_NG - mean_G) ** 2 * candidate_NG).sum(0) / (count_G - 1).clamp(min=1)).sqrt()
    positive_NG = candidate_NG & (overlap_NG >= mean_G + spread_G) & _inside(points_N2, boxes_G4)
    # a box smaller than the grid holds no point: the one nearest to its centre answers for it
    nearest_NG = torch.zeros_like(positive_NG).scatter_(0, distance_NG.argmin(0, keepdim=True), True)
    positive_NG = positive_NG | (nearest_NG & ~positive_NG.any(0))
    best_N = overlap_NG.where(positive_NG, overlap_NG.new_tensor(-1.0)).max(1)
    return best_N.indices.where(best_N.values >= 0, torch.full_like(best_N.indices, -1))


def _candidates(distance_NG: Tensor, strides_N: Tensor) -> Tensor:
    """bool[N, G]: the nearest points of each level."""
    chosen_NG = torch.zeros_like(distance_NG, dtype=torch.bool)
    for stride in STRIDES:
        rows = (strides_N == stride).nonzero()[:, 0]
        nearest = distance_NG[rows].topk(min(CANDIDATES_A_LEVEL, len(rows)), dim=0, largest=False).indices
        chosen_NG.scatter_(0, rows[nearest], True)
    return chosen_NG


def _inside(points_N2: Tensor, boxes_G4: Tensor) -> Tensor:
    after = points_N2[:, None] > boxes_G4[None, :, :2]
    before = points_N2[:, None] < boxes_G4[None, :, 2:]
    return (after & before).all(-1)
