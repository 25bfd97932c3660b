"""An untrained detector of the DINO family, small enough for a CPU: what ours is measured against, and tests."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    ConvNextConfig,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    SwinConfig,
)
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

from ...grounding.assets import SCRATCH
from ...grounding.grounders.zero_shot import ZeroShotGrounder, ZeroShotSettings
from ...grounding.model.config import PIXEL_MEAN, PIXEL_STD, MedGlipVisionConfig
from ...grounding.model.image_tower import load_start, vision_settings
from ...grounding.settings import Settings
from .cores.tower_backbone import TowerBackbone

_SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
"""Places of bert-base-uncased, which the DINO family has hard-coded."""
_FIRST_WORD = 1100


class DinoSizes(Settings):
    """Sizes of an untrained detector; the defaults have 2.3 million parameters."""

    # from scratch MM-Grounding-DINO starts at a far smaller loss: its class logits carry a bias
    kind: Literal["grounding-dino", "mm-grounding-dino"] = "mm-grounding-dino"
    backbone: Literal["convnext", "swin", "tower"] = "convnext"  # `tower`: our own image tower
    image_start: str = SCRATCH  # of `tower`
    image_size: int = Field(default=192, gt=0, multiple_of=32)  # side of the square input in pixels
    stage_widths: tuple[int, int, int, int] = (24, 48, 96, 160)  # at strides 4 to 32; swin doubles the first
    d_model: int = Field(default=128, multiple_of=32)  # of encoder and decoder, as the next three
    layers: int = Field(default=2, ge=2)
    num_queries: int = 40  # objects that can be found
    ffn_dim: int = 256
    text_width: int = Field(default=96, multiple_of=4)  # of the text encoder
    text_layers: int = 2
    max_text_len: int = 64  # tokens of a prompt


def build_dino(
    words: Iterable[str], sizes: DinoSizes, seed: int = 0, settings: ZeroShotSettings | None = None
) -> ZeroShotGrounder:
    """An untrained detector that knows the words of the phrases; weights from the seed alone."""
    tokenizer = word_tokenizer(words)
    stages: dict[str, Any] = {"depths": [1, 1, 2, 1], "out_indices": [2, 3, 4]}
    if sizes.backbone == "tower":
        values: dict[str, Any] = {"image_size": sizes.image_size} | vision_settings(sizes.image_start)
        backbone: PreTrainedConfig = MedGlipVisionConfig(**values)
    elif sizes.backbone == "swin":
        stages |= {"embed_dim": sizes.stage_widths[0], "num_heads": [1, 2, 4, 8], "window_size": 4}
        backbone = SwinConfig(image_size=sizes.image_size, **stages)
    else:
        backbone = ConvNextConfig(hidden_sizes=list(sizes.stage_widths), **stages)
    text = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.text_width,
        num_hidden_layers=sizes.text_layers,
        num_attention_heads=4,
        intermediate_size=3 * sizes.text_width,
        max_position_embeddings=sizes.max_text_len,
    )
    configs = {"backbone_config": backbone.to_dict(), "text_config": text.to_dict()}
    values = configs | {"letterbox_px": sizes.image_size}
    values |= {key: getattr(sizes, key) for key in ("d_model", "num_queries", "max_text_len")}
    for part in ("encoder", "decoder"):
        values |= {f"{part}_layers": sizes.layers, f"{part}_ffn_dim": sizes.ffn_dim, f"{part}_attention_heads": 4}
    with torch.random.fork_rng():  # nobody else's draws are touched
        torch.manual_seed(seed)
        if sizes.kind == "mm-grounding-dino":
            model = MMGroundingDinoForObjectDetection(MMGroundingDinoConfig(**values))
        else:
            model = GroundingDinoForObjectDetection(GroundingDinoConfig(**values))
    pixels: dict[str, Any] = {"size": {"height": sizes.image_size, "width": sizes.image_size}}
    tower: Any = model.model.backbone.conv_encoder.model
    if isinstance(tower, TowerBackbone):
        load_start(tower.image_tower, sizes.image_start)
        pixels |= {"image_mean": [PIXEL_MEAN] * 3, "image_std": [PIXEL_STD] * 3}
    processor = GroundingDinoProcessor(GroundingDinoImageProcessorPil(**pixels), tokenizer)
    return ZeroShotGrounder(model, processor, settings)


def word_tokenizer(phrases: Iterable[str]) -> PreTrainedTokenizerFast:
    """A word a token, lower case; the special tokens where the DINO family looks for them."""
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = {w for phrase in phrases for w, _ in splitter.pre_tokenize_str(normalizer.normalize_str(phrase))}
    indices = _SPECIAL | {word: _FIRST_WORD + i for i, word in enumerate(sorted(words - set(_SPECIAL)))}
    # every other index below the first word needs a token as well: {"[PAD]": 0, "[unused1]": 1, ..., "ball": 1100, ...}
    free = {f"[unused{i}]": i for i in set(range(_FIRST_WORD)) - set(indices.values())}
    tokenizer = Tokenizer(models.WordLevel(indices | free, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    ends = [(name, _SPECIAL[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
