"""Fine-tuning of the DINO family: tokens of the right caption, a loss that learns, a folder that comes back."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.loss.loss_grounding_dino import GroundingDinoForObjectDetectionLoss, GroundingDinoHungarianMatcher

from medglip.grounding import AnnotatedImage, BadInput
from medglip.grounding.datasets.schema import to_dataset
from medglip.grounding.files import read_lines
from medglip.grounding.grounders.zero_shot import Prompt, ZeroShotGrounder, ZeroShotSettings
from medglip.grounding.training.detector import DinoTarget, fine_tune, layer_losses
from medglip.grounding.training.settings import DrawSettings, FineTuneSettings, TrainSettings
from medglip.scripts.bench.untrained_dino import DinoSizes, build_dino

MakeStudies = Callable[[int], list[AnnotatedImage]]
COSTS = {"class_cost": 1.0, "bbox_cost": 5.0, "giou_cost": 2.0}
PROMPT = Prompt(ids=list(range(7)), spans=[(1, 3), (4, 5)])
"""Two phrases an image: tokens 1 and 2, token 4."""
BOX = torch.tensor([[0.5, 0.5, 0.4, 0.4]])
ALL_KNOWN = torch.ones(8, dtype=torch.bool)
NONE_WITHIN = torch.zeros(1, 8, dtype=torch.bool)
WANTED = (1, 0, 1)
"""The phrase of the one box of each of three images."""


def learned(loss: Callable[[Tensor, Tensor], Tensor]) -> list[set[int]]:
    """The tokens that each image's one query says after some steps on its logits alone."""
    logits = torch.full((3, 1, 8), -2.0, requires_grad=True)
    mask = torch.zeros(3, 1, 8, dtype=torch.bool)
    mask[:, :, :7] = True
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, mask).backward()
        optimizer.step()
    return [set((row[0] > 0).nonzero()[:, 0].tolist()) for row in logits]


def test_our_loss_teaches_every_image_its_own_phrase() -> None:
    positive_KT = PROMPT.positive_KT(8)
    truths = [DinoTarget(BOX, positive_KT[[phrase]] > 0, ALL_KNOWN, NONE_WITHIN) for phrase in WANTED]
    matcher = GroundingDinoHungarianMatcher(**COSTS)

    def ours(logits: Tensor, mask: Tensor) -> Tensor:
        return layer_losses(logits, BOX.expand(3, 1, 4), mask, truths, matcher)["loss"]

    assert learned(ours) == [{4}, {1, 2}, {4}]


def test_the_stock_loss_takes_the_tokens_of_another_caption() -> None:
    """Captions of two, one and two phrases: image two is taught phrases of image one. Why ours exists."""
    captions = [PROMPT, Prompt(ids=list(range(5)), spans=[(1, 4)]), PROMPT]
    wanted = (0, 0, 1)
    maps = tuple(prompt.positive_KT(8) for prompt in captions)
    labels = [{"class_labels": torch.tensor([phrase]), "boxes": BOX} for phrase in wanted]
    config = SimpleNamespace(
        **COSTS,
        focal_alpha=0.25,
        auxiliary_loss=False,
        two_stage=False,
        bbox_loss_coefficient=5.0,
        giou_loss_coefficient=2.0,
    )

    def stock(logits: Tensor, mask: Tensor) -> Tensor:
        found = GroundingDinoForObjectDetectionLoss(logits, labels, "cpu", BOX.expand(3, 1, 4), config, maps, mask)[0]
        return torch.as_tensor(found)

    truths = [
        DinoTarget(BOX, one[[phrase]] > 0, ALL_KNOWN, NONE_WITHIN) for one, phrase in zip(maps, wanted, strict=True)
    ]
    matcher = GroundingDinoHungarianMatcher(**COSTS)

    def ours(logits: Tensor, mask: Tensor) -> Tensor:
        return layer_losses(logits, BOX.expand(3, 1, 4), mask, truths, matcher)["loss"]

    right = [{1, 2}, {1, 2, 3}, {4}]
    assert learned(ours) == right
    assert learned(stock) != right, "transformers has mended its loss: ours can go"


def test_padding_teaches_nothing_and_images_without_boxes_count() -> None:
    matcher = GroundingDinoHungarianMatcher(**COSTS)
    mask = torch.ones(2, 1, 8, dtype=torch.bool)
    mask[:, :, 5:] = False
    logits = torch.zeros(2, 3, 8).masked_fill(~mask, -torch.inf).requires_grad_()
    empty = DinoTarget(torch.zeros(0, 4), torch.zeros(0, 8, dtype=torch.bool), ALL_KNOWN, NONE_WITHIN[:0])
    some = DinoTarget(BOX, PROMPT.positive_KT(8)[[0]] > 0, ALL_KNOWN, NONE_WITHIN)
    for truths in ([empty, some], [empty, empty]):
        losses = layer_losses(logits, BOX.expand(2, 3, 4).clone(), mask, truths, matcher)
        losses["loss"].backward()
        assert torch.isfinite(losses["loss"])
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()
        assert not logits.grad[:, :, 5:].any()


def test_phrases_without_annotation_are_no_negatives() -> None:
    matcher = GroundingDinoHungarianMatcher(**COSTS)
    mask = torch.ones(1, 1, 8, dtype=torch.bool)
    known_T = PROMPT.positive_KT(8)[1] == 0  # the second phrase is not annotated
    truth = DinoTarget(BOX, PROMPT.positive_KT(8)[[0]] > 0, known_T, NONE_WITHIN)
    logits = torch.zeros(1, 2, 8, requires_grad=True)
    boxes = torch.stack([BOX[0], torch.tensor([0.1, 0.1, 0.1, 0.1])])[None]
    layer_losses(logits, boxes, mask, [truth], matcher)["loss"].backward()
    assert logits.grad is not None
    assert logits.grad[0, 0, 4] > 0  # the true box is known not to be it
    assert logits.grad[0, 1, 4] == 0  # what else is in the picture may well be
    assert logits.grad[0, 1, 1] > 0


def tiny(image_size: int = 64) -> ZeroShotGrounder:
    sizes = DinoSizes(
        image_size=image_size,
        stage_widths=(16, 24, 32, 48),
        d_model=64,
        num_queries=8,
        ffn_dim=64,
        text_width=32,
        text_layers=1,
        max_text_len=24,
    )
    words = ["bright square", "dark square", "left lung"]
    return build_dino(words, sizes, settings=ZeroShotSettings(min_score=0.0, max_per_phrase=3))


def settings(steps: int, rate: float = 1e-3) -> FineTuneSettings:
    train = TrainSettings(
        steps=steps, batch_size=2, learning_rate=rate, warmup_steps=5, checkpoint_every=steps, clip_norm=1.0
    )
    return FineTuneSettings(train=train, draw=DrawSettings(augment=False, unknown_modality=0), image_size=64)


@pytest.mark.thorough
def test_a_detector_learns_one_picture_and_its_folder_knows_how(make_studies: MakeStudies, tmp_path: Path) -> None:
    image = make_studies(1)[0]
    wanted = settings(70).model_copy(update={"image_size": 96})
    folder = fine_tune(tiny(96), to_dataset([image]), wanted, tmp_path)
    log = list(read_lines(tmp_path / "log.jsonl"))
    for name in ("box", "giou"):
        first, last = (float(np.mean([row[name] for row in part])) for part in (log[:5], log[-10:]))
        assert last < 0.6 * first, (name, first, last)
    grounder = ZeroShotGrounder.from_pretrained(folder, "cpu", ZeroShotSettings(min_score=0.0))
    assert grounder.model.config.letterbox_px == 96
    best: dict[str, float] = {}
    for region in grounder.ground([image], [image.phrases])[0]:
        best.setdefault(region.phrase, region.score)
    assert best["left lung"] < min(best["bright square"], best["dark square"])  # asked, annotated, never there


def test_a_rerun_is_finished_at_once_and_gives_the_same(make_studies: MakeStudies, tmp_path: Path) -> None:
    data = to_dataset(make_studies(2))
    first = fine_tune(tiny(), data, settings(2), tmp_path)
    before = ZeroShotGrounder.from_pretrained(first, "cpu").fingerprint
    assert ZeroShotGrounder.from_pretrained(fine_tune(tiny(), data, settings(2), tmp_path), "cpu").fingerprint == before


def test_frozen_towers_stay_as_they_are(make_studies: MakeStudies, tmp_path: Path) -> None:
    grounder = tiny()
    before = {name: p.detach().clone() for name, p in grounder.model.named_parameters()}
    frozen = settings(2).model_copy(update={"freeze_towers": True})
    fine_tune(grounder, to_dataset(make_studies(2)), frozen, tmp_path)
    changed = {name for name, p in grounder.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert not [name for name in changed if "backbone" in name]


def test_other_families_are_refused(make_studies: MakeStudies, tmp_path: Path) -> None:
    grounder = tiny()
    grounder.model.config.model_type = "owlv2"
    with pytest.raises(BadInput, match="cannot be fine-tuned"):
        fine_tune(grounder, to_dataset(make_studies(1)), settings(1), tmp_path)
