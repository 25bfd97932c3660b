"""The image tower: a small residual network with GroupNorm, right for batches of one and for any modality.

B batch, C channels, H W pixels, N = (image_size / 32)^2 tokens, row by row from the upper left.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from .config import MedGlipVisionConfig


@dataclass
class MedGlipVisionOutput(ModelOutput):
    """`last_hidden_state` float[B, N, C] and `hidden_states` (two or more of that shape) are stride-32 tokens without
    a class token; `pooler_output` float[B, C] is their mean; `feature_maps`: float[B, C_s, H/s, W/s], s = 4, 8, 16, 32.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    feature_maps: tuple[Tensor, ...] | None = None


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut; `stride` 2 halves the map."""

    def __init__(self, width_in: int, width: int, stride: int, num_groups: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(num_groups, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(num_groups, width)
        is_same = stride == 1 and width_in == width
        self.shortcut = nn.Identity() if is_same else nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """float[B, width, H/stride, W/stride]."""
        y_BCHW = self.norm1(self.conv1(x_BCHW)).relu()
        return (self.norm2(self.conv2(y_BCHW)) + self.shortcut(x_BCHW)).relu()


class MedGlipVisionModel(PreTrainedModel):
    """Pixels to feature maps at strides 4 to 32, and to tokens for any model that wants a vision tower."""

    config_class = MedGlipVisionConfig
    base_model_prefix = "image_tower"
    main_input_name = "pixel_values"
    input_modalities = "image"
    _no_split_modules = ["ResidualBlock"]  # noqa: RUF012

    def __init__(self, config: MedGlipVisionConfig):
        super().__init__(config)
        widths = [*config.stage_widths, config.hidden_size]
        self.stem = nn.Conv2d(config.num_channels, widths[0], 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.GroupNorm(config.num_groups, widths[0])
        self.stages = nn.ModuleList(
            nn.ModuleList(
                ResidualBlock(width if i else width_in, width, 1 if i else 2, config.num_groups) for i in range(depth)
            )
            for width_in, width, depth in zip(widths, widths[1:], config.depths, strict=False)
        )
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The first layer that sees pixels."""
        return self.stem

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
        x_BCHW = self.stem_norm(self.stem(pixel_values.to(self.stem.weight.dtype))).relu()
        feature_maps, hidden_states = [], []
        for stage in self.stages:
            hidden_states = []
            for block in stage:  # pyright: ignore[reportGeneralTypeIssues]
                x_BCHW = block(x_BCHW)
                hidden_states.append(x_BCHW.flatten(2).transpose(1, 2))
            feature_maps.append(x_BCHW)
        return MedGlipVisionOutput(
            last_hidden_state=hidden_states[-1],
            pooler_output=hidden_states[-1].mean(1),
            hidden_states=tuple(hidden_states),
            feature_maps=tuple(feature_maps),
        )


AutoModel.register(MedGlipVisionConfig, MedGlipVisionModel)
