"""Tiny random checkpoints as the folders of Qwen3-VL and of Gemma 3 (MedGemma) look."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

_LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_TEXT = {**_LAYERS, "vocab_size": 400, "num_key_value_heads": 2, "max_position_embeddings": 8192, "head_dim": 8}
_TEXT |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.2}
_QWEN = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}
_GEMMA = {"image_token": "<soft>", "boi_token": "<start>", "eoi_token": "<end>"}


def write_qwen3_vl(folder: Path, text: Path) -> Path:
    """`text`: folder of a tokenizer."""
    ids = _tokenizer(folder, text, _QWEN)
    tokens: dict[str, Any] = {f"{kind}_id": ids[kind] for kind in ("image_token", "video_token")}
    tokens |= {"vision_start_token_id": ids["vision_bos_token"], "vision_end_token_id": ids["vision_eos_token"]}
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    vision: dict[str, Any] = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4}
    vision |= {"out_hidden_size": 32, "patch_size": 16, "deepstack_visual_indexes": [0], "num_position_embeddings": 16}
    config: Any = transformers.Qwen3VLConfig(
        text_config={**_TEXT, "rope_parameters": rope}, vision_config=vision, **tokens
    )
    images = transformers.Qwen2VLImageProcessor(min_pixels=64 * 64, max_pixels=96 * 96, patch_size=16)
    (folder / "video_preprocessor_config.json").write_text('{"video_processor_type": "Qwen3VLVideoProcessor"}')
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    return _write(folder, config, images, {"processor_class": "Qwen3VLProcessor"}, picture)


def write_gemma3(folder: Path, text: Path) -> Path:
    """`text`: folder of a tokenizer."""
    ids = _tokenizer(folder, text, _GEMMA)
    vision = {**_LAYERS, "image_size": 56, "patch_size": 14, "model_type": "siglip_vision_model"}
    vision |= {"vision_use_head": False}
    gemma = {**_TEXT, "query_pre_attn_scalar": 8, "sliding_window": 4096, "model_type": "gemma3_text"}
    config: Any = transformers.Gemma3Config(
        text_config=gemma,
        vision_config=vision,
        mm_tokens_per_image=4,
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
        image_token_index=ids["image_token"],
    )
    images = transformers.Gemma3ImageProcessor(size={"height": 56, "width": 56})
    return _write(folder, config, images, {"processor_class": "Gemma3Processor", "image_seq_length": 4}, "<start>")


def _tokenizer(folder: Path, text: Path, names: dict[str, str]) -> dict[str, int]:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(text, extra_special_tokens=names)
    tokenizer.pad_token = tokenizer.unk_token
    tokenizer.save_pretrained(folder)
    return {key: int(tokenizer.convert_tokens_to_ids(name)) for key, name in names.items()}


def _write(folder: Path, config: Any, images: Any, processor: dict[str, Any], image: str) -> Path:
    torch.manual_seed(0)
    transformers.AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    images.save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps(processor))
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}{% if p['type'] == 'image' %}"
        + image
        + "{% else %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return folder
