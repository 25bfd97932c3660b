"""Our image tower as a backbone of transformers, so that another detector can stand on the very same one."""

from typing import Any

from torch import Tensor
from transformers import AutoBackbone, PreTrainedModel
from transformers.modeling_outputs import BackboneOutput

from ....grounding.model.config import MedGlipVisionConfig
from ....grounding.model.image_tower import MedGlipVisionModel


class TowerBackbone(PreTrainedModel):
    """Pixels, normalised by `config.PIXEL_MEAN` and `PIXEL_STD`, to the maps of strides 8, 16 and 32."""

    config_class = MedGlipVisionConfig
    main_input_name = "pixel_values"

    def __init__(self, config: MedGlipVisionConfig):
        super().__init__(config)
        self.image_tower = MedGlipVisionModel(config)
        self.channels = [*config.stage_widths[2:], config.hidden_size]
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> BackboneOutput:
        """`feature_maps` float[B, C_s, H/s, W/s], s = 8, 16, 32."""
        return BackboneOutput(feature_maps=self.image_tower(pixel_values).feature_maps[1:])


AutoBackbone.register(MedGlipVisionConfig, TowerBackbone)
