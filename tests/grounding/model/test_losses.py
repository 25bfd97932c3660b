"""Assignment, losses and NMS on boxes small enough to check by hand."""

import math

import pytest
import torch

from medglip.grounding.model.decode import nms, point_of
from medglip.grounding.model.head import all_points
from medglip.grounding.model.losses import (
    Target,
    assign,
    box_iou,
    centreness_target,
    detection_losses,
    focal_loss,
    giou,
    mask_loss,
)
from medglip.grounding.model.medglip import MedGlipOutput

POINTS, STRIDES = all_points((64, 64))


def boxes(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def test_points_cover_three_levels_row_by_row() -> None:
    assert len(POINTS) == 8 * 8 + 4 * 4 + 2 * 2
    assert POINTS[:2].tolist() == [[4, 4], [12, 4]]
    assert POINTS[-1].tolist() == [48, 48]


def test_giou_of_equal_touching_and_distant_boxes() -> None:
    a = boxes((0, 0, 2, 2), (0, 0, 2, 2), (0, 0, 1, 1))
    b = boxes((0, 0, 2, 2), (2, 0, 4, 2), (9, 0, 10, 1))
    assert giou(a, b).tolist() == pytest.approx([1.0, 0.0, -0.8])


def test_giou_of_a_box_without_area_is_finite() -> None:
    assert torch.isfinite(giou(boxes((5, 5, 5, 5)), boxes((0, 0, 9, 9)))).all()


def test_centreness_is_one_at_the_centre_and_zero_at_the_edge() -> None:
    points = torch.tensor([[5.0, 5.0], [0.0, 5.0]])
    assert centreness_target(points, boxes((0, 0, 10, 10), (0, 0, 10, 10))).tolist() == [1, 0]


def test_focal_loss_forgives_what_is_right_and_is_alpha_weighted_cross_entropy_at_even_odds() -> None:
    truth = torch.tensor([1.0, 0.0])
    assert focal_loss(torch.tensor([9.0, -9.0]), truth).max() < 1e-8
    even = focal_loss(torch.zeros(2), truth)
    assert even.tolist() == pytest.approx([0.25 * 0.25 * math.log(2), 0.75 * 0.25 * math.log(2)])


def test_every_box_is_assigned_points_inside_it() -> None:
    truth = boxes((4, 4, 28, 28), (30, 30, 62, 60))
    box_N = assign(POINTS, STRIDES, truth)
    for g in range(2):
        points = POINTS[box_N == g]
        assert len(points)
        assert ((points > truth[g, :2]) & (points < truth[g, 2:])).all()


def test_a_box_between_the_grid_points_is_answered_by_the_nearest() -> None:
    box_N = assign(POINTS, STRIDES, boxes((6.5, 6.5, 9.5, 9.5)))
    assert (box_N == 0).sum() == 1


def test_no_boxes_assign_nothing() -> None:
    assert (assign(POINTS, STRIDES, boxes()) == -1).all()


def test_mask_loss_is_least_for_the_true_mask_and_blind_outside_the_box() -> None:
    truth = torch.zeros(1, 16, 16)
    truth[:, 4:8, 4:8] = 1
    logits = (truth * 2 - 1) * 20
    far = logits.clone()
    far[:, 12:, 12:] = 20
    box = boxes((16, 16, 32, 32))
    assert mask_loss(logits, truth, box, 4).item() < 0.01
    assert mask_loss(far, truth, box, 4).item() == pytest.approx(mask_loss(logits, truth, box, 4).item())
    assert mask_loss(-logits, truth, box, 4).item() > 1


def test_nms_keeps_the_better_of_two_and_the_distant_one() -> None:
    kept = nms(boxes((0, 0, 10, 10), (1, 0, 11, 10), (30, 30, 40, 40)), torch.tensor([0.5, 0.9, 0.1]), 0.5)
    assert kept.tolist() == [1, 2]


def test_nms_of_nothing_is_nothing() -> None:
    assert nms(boxes(), torch.zeros(0), 0.5).tolist() == []


def test_a_large_box_is_read_on_a_coarse_level_at_its_centre() -> None:
    small, large = point_of(boxes((6, 6, 26, 26), (0, 0, 64, 64)), 64).tolist()
    assert STRIDES[small] == 8
    assert POINTS[small].tolist() == [12, 12]
    assert STRIDES[large] == 16


def _output(labels: torch.Tensor) -> MedGlipOutput:
    """A dense output for one 64 px image with zero logits, all boxes alike."""
    num = len(POINTS)
    return MedGlipOutput(
        logits=torch.zeros(1, num, labels.shape[1], requires_grad=True),
        boxes=boxes((8, 8, 40, 40)).expand(1, num, 4),
        centreness=torch.zeros(1, num),
        coefficients=torch.zeros(1, num, 2),
        prototypes=torch.zeros(1, 2, 16, 16),
        embeddings=torch.zeros(1, num, 4),
        presence=torch.zeros(1, labels.shape[1]),
    )


def _target(truth: torch.Tensor, labels_GK: torch.Tensor) -> Target:
    """Boxes without masks; all phrases are annotated."""
    num, known_K = len(truth), torch.ones(labels_GK.shape[1]) > 0
    masks_Ghw, none_GK = torch.zeros(num, 16, 16), torch.zeros_like(labels_GK)
    return Target(truth, labels_GK, masks_Ghw, torch.zeros(num) > 0, known_K, none_GK, labels_GK.any(0))


def _phrase_gradients(truth: torch.Tensor, labels: list[list[bool]], asked: torch.Tensor) -> torch.Tensor:
    """float[K]: the lowest gradient of each phrase's logits; negative where some point is positive for it."""
    target = _target(truth, torch.tensor(labels))
    output = _output(target.labels_GK)
    detection_losses(output, [target], asked)["loss"].backward()
    assert output.logits.grad is not None
    return output.logits.grad[0].min(0).values


def test_a_box_is_positive_for_its_phrase_and_its_ancestor_alone() -> None:
    lowest = _phrase_gradients(boxes((8, 8, 40, 40)), [[True, True, False]], torch.ones(1, 3, 2))
    assert (lowest < 0).tolist() == [True, True, False]


def test_a_box_within_an_organ_says_that_it_is_there_and_not_where() -> None:
    """Phrases: tumor, and the organ it lies within, which nobody annotates."""
    target = _target(boxes((8, 8, 40, 40)), torch.tensor([[True, False]]))
    target.within_GK[0, 1], target.known_K[1], target.present_K[1] = True, False, True
    output = _output(target.labels_GK)
    output.presence.requires_grad_()
    detection_losses(output, [target], torch.ones(1, 2, 2))["loss"].backward()
    assert output.logits.grad is not None
    assert output.presence.grad is not None
    assert (output.logits.grad[0, :, 1] == 0).all()
    assert output.logits.grad[0, :, 0].min() < 0
    assert (output.presence.grad < 0).all()
    weighed = detection_losses(output, [target], torch.ones(1, 2, 2), presence_weight=1.0)
    plain = detection_losses(output, [target], torch.ones(1, 2, 2))
    assert (weighed["loss"] - plain["loss"]).item() == pytest.approx(plain["presence"].item() / 2)


def test_a_box_drawn_twice_answers_for_both_phrases() -> None:
    twice = boxes((8, 8, 40, 40), (8, 8, 40, 40.5))
    assert (_phrase_gradients(twice, [[True, False], [False, True]], torch.ones(1, 2, 2)) < 0).all()


def test_padded_phrases_cost_nothing() -> None:
    asked = torch.tensor([[[1, 1], [0, 0]]])
    lowest = _phrase_gradients(boxes((8, 8, 40, 40)), [[True, False]], asked)
    assert lowest[1] == 0


def test_an_image_without_boxes_has_a_finite_loss() -> None:
    target = _target(boxes(), torch.zeros(0, 2) > 0)
    losses = detection_losses(_output(torch.zeros(1, 2)), [target], torch.ones(1, 2, 2))
    assert all(torch.isfinite(value) for value in losses.values())


def test_iou_of_half_overlap() -> None:
    assert box_iou(boxes((0, 0, 2, 2)), boxes((1, 0, 3, 2))).item() == pytest.approx(1 / 3)
