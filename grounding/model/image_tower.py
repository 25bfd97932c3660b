"""The image tower: a backbone as a transformers model of its own, whose tokens any model may read.

B batch, C channels, H W pixels, N = (image_size / 32)^2 tokens, row by row from the upper left.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from ..assets import SCRATCH, fetch
from ..bad_input import BadInput, explain
from .backbones import STRIDES, InvertedBackbone, InvertedResidual, TransformersBackbone, fold_norms, make_backbone
from .config import PIXEL_MEAN, PIXEL_STD, MedGlipVisionConfig


@dataclass
class MedGlipVisionOutput(ModelOutput):
    """`last_hidden_state` float[B, N, C]: stride-32 tokens without a class token; `hidden_states`: the same twice, as
    many readers ask for the last but one; `pooler_output` float[B, C]: their mean; `feature_maps`: float[B, C_s, H/s,
    W/s], s = 4, 8, 16, 32; `half_map` float[B, C_2, H/2, W/2], None for models of transformers.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    feature_maps: tuple[Tensor, ...] | None = None
    half_map: Tensor | None = None


class MedGlipVisionModel(PreTrainedModel):
    """Pixels to feature maps at strides 4 to 32, and to tokens for any model that wants a vision tower."""

    config_class = MedGlipVisionConfig
    base_model_prefix = "image_tower"
    main_input_name = "pixel_values"
    input_modalities = "image"
    _no_split_modules = ["ResidualBlock", "InvertedResidual"]  # noqa: RUF012

    def __init__(self, config: MedGlipVisionConfig):
        super().__init__(config)
        self.backbone = make_backbone(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The first layer that sees pixels."""
        return next(module for module in self.modules() if isinstance(module, nn.Conv2d))

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        else:
            super()._init_weights(module)

    def forward(self, pixel_values: Tensor, **_: Any) -> MedGlipVisionOutput:
        """`pixel_values` float[B, 3, H, W], H and W multiples of 32, normalised by `config.PIXEL_MEAN`, `PIXEL_STD`.

        Other arguments of vision towers (`output_hidden_states`, `return_dict`) are taken and change nothing.
        """
        *half, s4, s8, s16, s32 = self.backbone(pixel_values.to(self.dtype))
        tokens_BNC = self._tokens([s4, s8, s16, s32])
        return MedGlipVisionOutput(
            tokens_BNC, tokens_BNC.mean(1), (tokens_BNC, tokens_BNC), (s4, s8, s16, s32), half[0] if half else None
        )

    def _tokens(self, feature_maps: list[Tensor]) -> Tensor:
        return feature_maps[-1].flatten(2).transpose(1, 2)


AutoModel.register(MedGlipVisionConfig, MedGlipVisionModel)


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
    fix = f"use {', '.join([SCRATCH, *ROWS])}, or a model folder or hub name"
    with explain(f"no image start {start!r}", OSError, ValueError, fix=fix):
        return {"backbone_config": AutoConfig.from_pretrained(start, trust_remote_code=False).to_dict()}


def load_start(tower: MedGlipVisionModel, start: str) -> None:
    """Put the pretrained weights into a tower built with `vision_settings(start)`.

    Raises `BadInput` when the weights cannot be had, and `ValueError` when they are of another architecture.
    """
    backbone = tower.backbone
    if start == SCRATCH:
        return
    if isinstance(backbone, InvertedBackbone):
        state = torch.load(fetch(start), map_location="cpu", weights_only=True)
        load_inverted(backbone, state, _NORM_EPS[start])
    elif isinstance(backbone, TransformersBackbone):
        source = AutoModel.from_pretrained(start, trust_remote_code=False)
        fold_norms(source)
        state = source.state_dict()
        # a backbone class may hold the plain model as a part: "encoder.conv.weight" there, "conv.weight" here
        prefix = next(iter(backbone.model.state_dict())).removesuffix(next(iter(state)))
        backbone.model.load_state_dict({prefix + name: value for name, value in state.items()}, strict=False)


def freeze(tower: MedGlipVisionModel, num_rows: int) -> None:
    """Train neither the stem nor the first rows behind it, of a tower of inverted residuals; 0 trains everything."""
    if not num_rows:
        return
    if not isinstance(tower.backbone, InvertedBackbone):
        problem = "frozen_rows is for towers that start from mobilenet-v2 or efficientnet-lite0."
        raise BadInput(problem, fix="set it to 0")
    for part in (tower.backbone.stem, *tower.backbone.rows[: num_rows - 1]):
        part.requires_grad_(False)


@torch.no_grad()
def load_inverted(backbone: InvertedBackbone, state: dict[str, Tensor], eps: float) -> None:
    """Weights in the order of the layers, each norm folded into its convolution; pixels as this house scales them.

    What follows the last row (a classifier's convolution) is left over. Raises `ValueError` for other shapes.
    """
    stem = backbone.stem
    blocks = [module for module in backbone.modules() if isinstance(module, InvertedResidual)]
    layers = [layer for block in blocks for layer in (block.expand, block.filter, block.project)]
    convs = [stem, *(layer for layer in layers if isinstance(layer, nn.Conv2d))]
    # Each convolution (4 axes) is followed by its norm: gain, bias, mean, variance. Counters of batches have no axis.
    tensors = [tensor for tensor in state.values() if tensor.ndim]
    starts = [index for index, tensor in enumerate(tensors) if tensor.ndim == 4]
    if len(starts) < len(convs):
        raise ValueError(f"{len(starts)} convolutions for a tower of {len(convs)}")
    for index, (conv, start) in enumerate(zip(convs, starts, strict=False)):
        weight, gain, bias, mean, variance = tensors[start : start + 5]
        if weight.shape != conv.weight.shape:
            raise ValueError(f"convolution {index} has shape {tuple(weight.shape)}, not {tuple(conv.weight.shape)}")
        scale = gain / (variance + eps).sqrt()
        conv.weight.copy_(weight * scale[:, None, None, None])
        assert conv.bias is not None
        conv.bias.copy_(bias - mean * scale)
    # the stem that saw ImageNet's scaling sees ours: the same numbers come out, but for the padded border
    assert stem.bias is not None
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    stem.bias += (stem.weight * ((PIXEL_MEAN - mean) / std)[:, None, None]).sum((1, 2, 3))
    stem.weight *= (PIXEL_STD / std)[:, None, None]


class MedGlipTokensConfig(PreTrainedConfig):
    """An image tower and which of its maps are read. `hidden_size` follows: channels of a token."""

    model_type = "medglip_tokens"

    tower: dict | None = None
    """The image tower's configuration, as its `to_dict` gives it."""
    strides: list[int] | tuple[int, ...] = (8, 16, 32)
    """Strides of the maps, of 4, 8, 16 and 32; the finer, the more channels a token has."""
    hidden_size: int = 0
    image_size: int = 0
    patch_size: int = 32

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        tower = self.tower_config()
        if not self.strides or set(self.strides) - set(STRIDES):
            raise ValueError(f"strides {self.strides} must be some of {STRIDES}")
        widths: dict[int, int] = dict(zip(STRIDES, [*tower.stage_widths[1:], tower.hidden_size], strict=True))
        self.image_size, self.patch_size = tower.image_size, tower.patch_size
        self.hidden_size = sum(widths[stride] * (self.patch_size // stride) ** 2 for stride in self.strides)

    def tower_config(self) -> MedGlipVisionConfig:
        """The image tower's configuration as a class of its own."""
        return MedGlipVisionConfig.from_dict(self.tower or {})


class MedGlipTokensModel(MedGlipVisionModel):
    """Pixels to tokens of several strides, with the weights of an image tower; any model may have it as its own.

    Its `last_hidden_state` is float[B, N, hidden_size].
    """

    config_class = MedGlipTokensConfig

    def __init__(self, config: MedGlipTokensConfig):
        super(MedGlipVisionModel, self).__init__(config)
        self.backbone = make_backbone(config.tower_config())
        self.post_init()

    def _tokens(self, feature_maps: list[Tensor]) -> Tensor:
        maps = dict(zip(STRIDES, feature_maps, strict=True))
        return torch.cat([self._level(maps[stride], stride) for stride in self.config.strides], dim=-1)

    def _level(self, map_BCHW: Tensor, stride: int) -> Tensor:
        """One map as tokens of mean 0 and variance 1; the pixels of a block follow each other as channels."""
        blocks_BCHW = nn.functional.pixel_unshuffle(map_BCHW, self.config.patch_size // stride)
        tokens_BNC = blocks_BCHW.flatten(2).transpose(1, 2)
        return nn.functional.layer_norm(tokens_BNC, tokens_BNC.shape[-1:])


AutoConfig.register(MedGlipTokensConfig.model_type, MedGlipTokensConfig)
AutoModel.register(MedGlipTokensConfig, MedGlipTokensModel)
