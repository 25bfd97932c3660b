"""The image tower's maps of several strides as tokens for a language model.

The last map alone is a poor picture: detection leans on the finer ones, and a core may train to the end with a last
stage that says the same of every picture. So a token holds all it covers: the maps of each stride cut into blocks of
its size, each level normalised by itself, so that none drowns another.

B batch, C channels, N = (image_size / 32)^2 tokens, row by row from the upper left.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from .backbones import make_backbone
from .config import MedGlipVisionConfig
from .image_tower import MedGlipVisionModel, MedGlipVisionOutput

STRIDES = (4, 8, 16, 32)


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
    """Pixels to tokens of several strides, with the weights of an image tower; any model may have it as its own."""

    config_class = MedGlipTokensConfig

    def __init__(self, config: MedGlipTokensConfig):
        super(MedGlipVisionModel, self).__init__(config)
        self.backbone = make_backbone(config.tower_config())
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> MedGlipVisionOutput:
        """`pixel_values` as the image tower takes them; `last_hidden_state` float[B, N, hidden_size]."""
        maps = dict(zip(STRIDES, self.backbone(pixel_values.to(self.dtype)), strict=True))
        tokens_BNC = torch.cat([self._level(maps[stride], stride) for stride in self.config.strides], dim=-1)
        return MedGlipVisionOutput(
            last_hidden_state=tokens_BNC,
            pooler_output=tokens_BNC.mean(1),
            hidden_states=(tokens_BNC, tokens_BNC),
            feature_maps=tuple(maps.values()),
        )

    def _level(self, map_BCHW: Tensor, stride: int) -> Tensor:
        """One map as tokens of mean 0 and variance 1; the pixels of a block follow each other as channels."""
        blocks_BCHW = nn.functional.pixel_unshuffle(map_BCHW, self.config.patch_size // stride)
        tokens_BNC = blocks_BCHW.flatten(2).transpose(1, 2)
        return nn.functional.layer_norm(tokens_BNC, tokens_BNC.shape[-1:])


AutoConfig.register(MedGlipTokensConfig.model_type, MedGlipTokensConfig)
AutoModel.register(MedGlipTokensConfig, MedGlipTokensModel)
