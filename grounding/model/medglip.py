"""The core: pixels and phrases in, for every point and phrase a score, a box and a mask out.

B batch, K phrases (padded ones are all zeros in the attention mask), L tokens, N points of three levels, D width,
M mask prototypes, S side of the square input in pixels, s = S / `mask_stride` that of the prototypes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from .config import MedGlipConfig, MedGlipVisionConfig
from .fusion import Fusion, ModalityShift, Pyramid
from .head import DenseHead, Presence, ZeroConv, ZeroLinear
from .image_tower import MedGlipVisionModel
from .text_tower import PhraseEncoder


@dataclass
class MedGlipOutput(ModelOutput):
    """`logits` float[B, N, K]; `boxes` float[B, N, 4] xyxy in input pixels; `centreness` float[B, N] logits;
    `coefficients` float[B, N, M]; `prototypes` float[B, M, s, s]; `embeddings` float[B, N, D] of unit length;
    `presence` float[B, K] logits that the phrase is in the image at all; `feature_maps` of the image tower, if wanted.
    """

    # ModelOutput wants defaults of None, yet a forward pass gives all of them
    logits: Tensor = None  # pyright: ignore[reportAssignmentType]
    boxes: Tensor = None  # pyright: ignore[reportAssignmentType]
    centreness: Tensor = None  # pyright: ignore[reportAssignmentType]
    coefficients: Tensor = None  # pyright: ignore[reportAssignmentType]
    prototypes: Tensor = None  # pyright: ignore[reportAssignmentType]
    embeddings: Tensor = None  # pyright: ignore[reportAssignmentType]
    presence: Tensor = None  # pyright: ignore[reportAssignmentType]
    feature_maps: tuple[Tensor, ...] | None = None


class MedGlipModel(PreTrainedModel):
    """Image tower, phrase encoder, fusion, dense head. A phrase's scores depend on image, modality and phrase alone."""

    config_class = MedGlipConfig
    base_model_prefix = "medglip"
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: MedGlipConfig):
        super().__init__(config)
        vision = config.vision_config
        assert isinstance(vision, MedGlipVisionConfig)
        widths = [*vision.stage_widths, vision.hidden_size]
        self.image_tower = MedGlipVisionModel(vision)
        num_modalities = len(config.modalities)
        self.phrase_encoder = PhraseEncoder(config.text_config, config.width, num_modalities)  # pyright: ignore[reportArgumentType]
        self.pyramid = Pyramid(widths[2:], config.width, num_modalities)
        self.fusion = Fusion(config.width, config.num_heads, config.num_fusion_layers)
        width_fine = widths[1] if config.fine_masks else 0
        width_half = vision.half_width if config.mask_stride == 2 else 0
        self.head = DenseHead(config.width, config.num_head_convs, config.num_prototypes, width_fine, width_half)
        self.presence = Presence(config.width, config.rich_presence)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, nonlinearity="relu" if module.kernel_size[0] > 1 else "linear")
            if module.bias is not None:
                init.zeros_(module.bias)
            if isinstance(module, ZeroConv):
                init.zeros_(module.weight)
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
            if isinstance(module, ZeroLinear):
                init.zeros_(module.weight)
        elif isinstance(module, ModalityShift):
            init.zeros_(module.weight)
        else:
            super()._init_weights(module)

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        modality_ids: Tensor,
        with_maps: bool = False,
    ) -> MedGlipOutput:
        """`pixel_values` float[B, 3, S, S] as `MedGlipProcessor` gives them; `input_ids` and `attention_mask`
        int[B, K, L]; `modality_ids` int[B], indices into `config.modalities`.
        """
        if not self.config.modality_prompts:
            modality_ids = torch.full_like(modality_ids, self.config.modalities.index("unknown"))
        features = self.image_tower(pixel_values.contiguous(memory_format=torch.channels_last))
        pyramid = self.pyramid(features.feature_maps[1:], modality_ids)
        phrases_BKD = self.phrase_encoder(input_ids, attention_mask, modality_ids)
        levels, phrases_BKD = self.fusion(pyramid, phrases_BKD)
        dense = self.head(levels, features.feature_maps[0], features.half_map, phrases_BKD)
        presence_BK = self.presence(phrases_BKD, dense["logits"], levels[1:])
        return MedGlipOutput(**dense, presence=presence_BK, feature_maps=features.feature_maps if with_maps else None)


AutoModel.register(MedGlipConfig, MedGlipModel)
