"""Both detectors of the comparison can stand on one image tower."""

from typing import Any

import numpy as np
import torch

from medglip.grounding.model.config import PIXEL_MEAN, PIXEL_STD
from medglip.grounding.training.loop import parameter_groups
from medglip.grounding.training.settings import TrainSettings
from medglip.scripts.bench.untrained_dino import DinoSizes, build_dino

SIZES = DinoSizes(
    backbone="tower", image_size=64, d_model=32, layers=2, num_queries=8, ffn_dim=32, text_width=32, text_layers=1
)


def test_a_detector_reads_the_maps_of_our_tower_from_pixels_as_ours_are() -> None:
    grounder = build_dino(["liver"], SIZES)
    backbone: Any = grounder.model.model.backbone.conv_encoder.model
    image = np.full((64, 64, 3), 255, np.uint8)
    pixels = grounder.processor.image_processor(images=[image], return_tensors="pt")["pixel_values"]
    assert torch.allclose(pixels, torch.full_like(pixels, (1 - PIXEL_MEAN) / PIXEL_STD), atol=1e-5)
    maps = backbone(pixels).feature_maps
    assert [64 // one.shape[-1] for one in maps] == [8, 16, 32]
    assert all(torch.equal(a, b) for a, b in zip(maps, backbone.image_tower(pixels).feature_maps[1:], strict=True))


def test_the_tower_of_another_detector_has_the_rate_of_the_tower() -> None:
    model = build_dino(["liver"], SIZES).model
    groups = parameter_groups(model, TrainSettings(learning_rate=1.0, tower_rate=0.1))
    slow = {id(p) for group in groups if group["lr"] == 0.1 for p in group["params"]}
    tower: Any = model.model.backbone.conv_encoder.model.image_tower
    assert slow == {id(p) for p in tower.parameters() if p.requires_grad}
