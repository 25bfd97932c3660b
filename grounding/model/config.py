"""Sizes of the core as transformers configurations, and how pixels are normalised for it."""

from typing import Any, ClassVar

import torch
from transformers import AutoConfig, PreTrainedConfig

from .backbones import ends_of_strides, make_transformers_model, maps_of, rows_at_half

PIXEL_MEAN, PIXEL_STD = 0.5, 0.25
"""Pixels in [0, 1] are shifted and scaled by these, every channel alike: medical images have no common colour."""

TEN_MODALITIES = (
    *("unknown", "xray", "ct", "mr", "ultrasound", "endoscopy"),
    *("dermoscopy", "fundus", "histology", "microscopy"),
)
"""Modalities, in this order, of cores whose configuration names none: those of version 0.1. Never to be changed, as
the sizes and rows of their embeddings follow from it."""

SMALL_BERT = {
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 288,
    "max_position_embeddings": 32,
    "vocab_size": 512,
}
"""The text tower where a configuration names no other: phrases are short and their words few."""


class MedGlipVisionConfig(PreTrainedConfig):
    """Sizes of the image tower. `hidden_size` is the width of the last stage, whose tokens others may read."""

    model_type = "medglip_vision"

    image_size: int = 192
    """Side of the square input in pixels, a multiple of `patch_size`."""
    patch_size: int = 32
    """Stride of the last stage: one token stands for so many pixels squared. Fixed by the five stages."""
    num_channels: int = 3
    stage_widths: list[int] | tuple[int, ...] = (24, 48, 80, 112)
    """Channels at strides 2, 4, 8, 16, multiples of `num_groups`."""
    hidden_size: int = 144
    """Channels at stride 32, a multiple of `num_groups`."""
    depths: list[int] | tuple[int, ...] = (1, 1, 2, 2)
    """Residual blocks at strides 4, 8, 16, 32; the last at least 2, so that there are two hidden states."""
    num_groups: int = 8
    """Of every GroupNorm."""
    rows: list[list[int]] | None = None
    """Inverted residuals instead: (expansion, width, blocks, stride, kernel) a row; widths above follow from them."""
    backbone_config: dict | PreTrainedConfig | None = None
    """A convolutional model of transformers instead, its norms folded; widths above follow from it."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.image_size % 32 or self.patch_size != 32:
            raise ValueError(f"image_size {self.image_size} is no multiple of patch_size {self.patch_size}, always 32")
        if self.backbone_config is not None:
            if isinstance(self.backbone_config, dict):
                kind = self.backbone_config["model_type"]
                self.backbone_config = AutoConfig.for_model(**self.backbone_config | {"model_type": kind})
            # widths are those of the maps that a small image gives; on `meta` nothing is allocated or computed
            with torch.device("meta"):
                model = make_transformers_model(self.backbone_config)  # pyright: ignore[reportArgumentType]
                maps = maps_of(model.eval(), torch.zeros(1, self.num_channels, 64, 64))
            *inner, self.hidden_size = [x.shape[1] for x in maps]
            self.stage_widths = (inner[0], *inner)
        elif self.rows is not None:
            ends = ends_of_strides([row[3] for row in self.rows])
            *inner, self.hidden_size = [self.rows[index][1] for index in ends]
            self.stage_widths = (self.stage_widths[0], *inner)
        else:
            widths = [*self.stage_widths, self.hidden_size]
            if len(widths) != 5 or any(width % self.num_groups for width in widths):
                raise ValueError(f"stage widths {widths} must be five multiples of num_groups {self.num_groups}")
            if len(self.depths) != 4 or min(self.depths) < 1 or self.depths[-1] < 2:
                raise ValueError(f"depths {self.depths} must be four counts from 1 on, the last at least 2")

    @property
    def half_width(self) -> int:
        """Channels of the map at stride 2; 0 for a model of transformers, which may have none."""
        if self.backbone_config is not None:
            return 0
        num_rows = rows_at_half(self.rows) if self.rows is not None else 0
        return self.rows[num_rows - 1][1] if self.rows is not None and num_rows else self.stage_widths[0]


class MedGlipConfig(PreTrainedConfig):
    """Sizes of the whole core; `vision_config` and `text_config` are configurations of their own: a dict with
    `model_type` is taken as it is, one without is a small BERT with other sizes.
    """

    model_type = "medglip"
    # the base computes this one from a newer attribute that transformers 5.17 lacks
    sub_configs: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleMethodOverride]
        "vision_config": MedGlipVisionConfig,
        "text_config": AutoConfig,
    }

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    width: int = 96
    """Channels of pyramid, phrases, fusion and head: D of the region embedding."""
    num_heads: int = 4
    """Attention heads of the fusion layers."""
    num_fusion_layers: int = 2
    """Cross-attention layers between P4 + P5 and the phrases."""
    num_head_convs: int = 1
    """3 x 3 convolutions of each head tower."""
    num_prototypes: int = 16
    """Mask prototypes, at `mask_stride`."""
    fine_masks: bool = False
    """Whether the prototypes also read the image tower's own map at stride 4, for thin and small regions."""
    mask_stride: int = 4
    """Pixels between the points of the prototypes: 4, or 2, where they read the image tower's map at stride 2 too."""
    rich_presence: bool = False
    """Whether presence also reads the image where a phrase attends to it, and the phrase's three best points."""
    max_phrase_tokens: int = 16
    """Longer phrases are cut; the tokens that a tokenizer puts around each phrase count."""
    modality_prompts: bool = True
    """Whether the modality is read, by phrases and by the pyramid; False: every image is of `unknown` modality."""
    modalities: list[str] | tuple[str, ...] = TEN_MODALITIES
    """Names of the modalities that the core was trained with, `unknown` among them; any other is `unknown` to it."""
    calibration: dict[str, Any] | None = None
    """`calibration.Calibration` of the scores, fitted on validation data; None: scores as they come."""
    pooled_strides: list[int] | tuple[int, ...] = ()
    """Strides of the image tower's maps that regions pool, by `features.safetensors` beside the weights."""

    def __post_init__(self, **kwargs: Any) -> None:
        if not isinstance(self.vision_config, PreTrainedConfig):
            self.vision_config = MedGlipVisionConfig(**(self.vision_config or {}))
        if not isinstance(self.text_config, PreTrainedConfig):
            values = self.text_config or {}
            # a saved configuration leaves out what is usual for its kind: no size of ours may take that place
            values = values if "model_type" in values else {**SMALL_BERT, **values, "model_type": "bert"}
            self.text_config = AutoConfig.for_model(**values)
        if self.width % 16 or self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of 16 and of num_heads {self.num_heads}")
        if self.mask_stride not in (2, 4) or (self.mask_stride == 2 and not self.vision_config.half_width):
            raise ValueError(f"mask_stride {self.mask_stride} is 4, or 2 for an image tower with a map at stride 2")
        if "unknown" not in self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"modalities {self.modalities} must differ, and hold 'unknown'")
        super().__post_init__(**kwargs)


AutoConfig.register(MedGlipVisionConfig.model_type, MedGlipVisionConfig)
AutoConfig.register(MedGlipConfig.model_type, MedGlipConfig)
