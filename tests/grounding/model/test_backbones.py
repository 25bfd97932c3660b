"""Towers by name: maps at four strides, folded norms, pretrained starts, configurations that come back."""

from pathlib import Path

import pytest
import torch
from making import is_close
from torch import nn
from transformers import MobileNetV2Config, MobileNetV2Model, ResNetConfig, ViTConfig

from medglip.grounding import BadInput
from medglip.grounding.model.backbones import InvertedBackbone, InvertedResidual, fold_norms, maps_of
from medglip.grounding.model.config import PIXEL_MEAN, PIXEL_STD, MedGlipVisionConfig
from medglip.grounding.model.image_tower import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MedGlipVisionModel,
    freeze,
    load_inverted,
    vision_settings,
)

ROWS = [[1, 8, 1, 1, 3], [2, 8, 2, 2, 3], [2, 16, 1, 2, 5], [2, 16, 1, 2, 3], [2, 24, 1, 2, 3]]
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
KINDS = {
    "residual": {"stage_widths": (8, 8, 16, 16), "hidden_size": 16},
    "rows": {"rows": ROWS, "stage_widths": (8, 0, 0, 0)},
    "transformers": {"backbone_config": RESNET},
}


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_every_kind_and_configurations_that_come_back(kind: str, tmp_path: Path) -> None:
    config = MedGlipVisionConfig(image_size=64, **KINDS[kind])  # pyright: ignore[reportArgumentType]
    tower = MedGlipVisionModel(config).eval()
    pixels = torch.rand(2, 3, 64, 64)
    found = tower(pixels)
    assert [x.shape[-1] for x in found.feature_maps] == [16, 8, 4, 2]
    assert [x.shape[1] for x in found.feature_maps] == [*config.stage_widths[1:], config.hidden_size]
    assert found.last_hidden_state.shape == (2, 4, config.hidden_size)
    tower.save_pretrained(tmp_path)
    again = MedGlipVisionModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(pixels).last_hidden_state, found.last_hidden_state)


def test_folded_norms_change_nothing() -> None:
    torch.manual_seed(0)
    model = MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.1, finegrained_output=True)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # pyright: ignore[reportArgumentType]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # pyright: ignore[reportArgumentType]
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = maps_of(model, pixels)
        fold_norms(model)
        after = maps_of(model, pixels)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    for a, b in zip(before, after, strict=True):
        assert is_close(a, b, 1e-4)


def test_a_start_keeps_what_its_norms_and_pixel_scaling_did() -> None:
    torch.manual_seed(0)
    backbone, convs, state = InvertedBackbone(3, 8, ROWS), [], {}
    parts = [backbone.stem]
    for block in (module for module in backbone.modules() if isinstance(module, InvertedResidual)):
        parts += [part for part in (block.expand, block.filter, block.project) if isinstance(part, nn.Conv2d)]
    for i, part in enumerate(parts):
        width = part.out_channels
        convs.append((torch.randn(part.weight.shape), torch.rand(width) + 0.5, torch.randn(width), torch.randn(width),
                      torch.rand(width) + 0.5))  # fmt: skip
        state |= {f"{i}.{k}": tensor for k, tensor in enumerate(convs[-1])} | {f"{i}.count": torch.tensor(1)}
    load_inverted(backbone, state | {"head": torch.zeros(4, 2)}, eps=1e-3)
    weight, gain, bias, mean, variance = convs[0]
    pixels = torch.rand(1, 3, 8, 8)
    shift, scale = (torch.tensor(x)[:, None, None] for x in (IMAGENET_MEAN, IMAGENET_STD))
    theirs = nn.functional.conv2d((pixels - shift) / scale, weight, stride=2)
    theirs = nn.functional.batch_norm(theirs, mean, variance, gain, bias, eps=1e-3)
    ours = nn.functional.conv2d((pixels - PIXEL_MEAN) / PIXEL_STD, backbone.stem.weight, backbone.stem.bias, stride=2)
    assert is_close(ours, theirs, 1e-4)


def test_unfit_backbones_and_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # asking takes long
    vit = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=64)
    with pytest.raises(ValueError, match="no feature maps at strides"):
        MedGlipVisionConfig(backbone_config=vit)
    with pytest.raises(BadInput, match="no image start"):
        vision_settings("mobilenet_v3")
    with pytest.raises(BadInput, match="frozen_rows"):
        freeze(MedGlipVisionModel(MedGlipVisionConfig(backbone_config=ResNetConfig(**RESNET).to_dict())), 2)


def test_frozen_rows_are_not_trained() -> None:
    tower = MedGlipVisionModel(MedGlipVisionConfig(image_size=64, rows=ROWS, stage_widths=(8, 0, 0, 0)))
    freeze(tower, 2)
    backbone = tower.backbone
    assert isinstance(backbone, InvertedBackbone)
    assert not any(p.requires_grad for p in (*backbone.stem.parameters(), *backbone.rows[0].parameters()))
    assert all(p.requires_grad for row in backbone.rows[1:] for p in row.parameters())
