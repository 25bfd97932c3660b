"""The image tower: a backbone as a transformers model of its own, whose tokens any model may read.

B batch, C channels, H W pixels, N = (image_size / 32)^2 tokens, row by row from the upper left.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from .backbones import make_backbone
from .config import MedGlipVisionConfig


@dataclass
class MedGlipVisionOutput(ModelOutput):
    """`last_hidden_state` float[B, N, C]: stride-32 tokens without a class token; `hidden_states`: the same twice, as
    many readers ask for the last but one; `pooler_output` float[B, C]: their mean; `feature_maps`: float[B, C_s, H/s,
    W/s], s = 4, 8, 16, 32.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    feature_maps: tuple[Tensor, ...] | None = None


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
        feature_maps = self.backbone(pixel_values.to(self.dtype))
        tokens_BNC = feature_maps[-1].flatten(2).transpose(1, 2)
        return MedGlipVisionOutput(
            last_hidden_state=tokens_BNC,
            pooler_output=tokens_BNC.mean(1),
            hidden_states=(tokens_BNC, tokens_BNC),
            feature_maps=tuple(feature_maps),
        )


AutoModel.register(MedGlipVisionConfig, MedGlipVisionModel)
