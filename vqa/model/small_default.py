"""The small default without a hub: SmolLM2-135M behind the core's image tower, saved as an ordinary LLaVA folder.

SmolLM2-135M-Instruct (Hugging Face, Apache-2.0) comes as a 4-bit GGUF file and is converted once. The projector
between picture and text is fresh: the folder is a base for LoRA training, not a model that can see.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from ...grounding.assets import cache_folder, fetch, is_as_written, note_hashes
from ...grounding.bad_input import BadInput, damaged
from ...grounding.evidence.forms.tokens import REGION_TOKEN
from ...grounding.files import file_sha256, write_folder
from ...grounding.model.config import PIXEL_MEAN, PIXEL_STD, MedGlipConfig, MedGlipVisionConfig
from ...grounding.model.image_tower import MedGlipTokensConfig, MedGlipVisionModel

IMAGE_TOKEN = "<image>"
BILINEAR = 2
SIDE_PX = 256
"""Pixels of a picture's side at most, 64 tokens: one of 320, which cores of larger pictures see, would be 100."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>{% if not loop.last or add_generation_prompt %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Images first, each on a line of its own, then the text; no system prompt: its tokens would say nothing."""


def text_folder(cache_dir: Path | None = None) -> Path:
    """SmolLM2 as an ordinary transformers folder in the cache, bf16; fetched and converted the first time."""
    folder = (cache_dir or cache_folder()) / "smollm2-135m"
    if not is_as_written(folder):
        gguf = fetch("smollm2-135m", cache_dir)
        # transformers keeps a GGUF model marked as quantised and will not save it: its weights go into a plain one
        where: dict[str, Any] = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
        where["trust_remote_code"] = False
        packed = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        marks = ("quantization_config", "_name_or_path")
        config = {key: value for key, value in packed.config.to_dict().items() if key not in marks}
        plain: Any = transformers.LlamaForCausalLM(transformers.LlamaConfig.from_dict(config))
        plain.load_state_dict(packed.state_dict())
        plain.tie_weights()
        with write_folder(folder) as partial:
            plain.to(torch.bfloat16).save_pretrained(partial)
            transformers.AutoTokenizer.from_pretrained(**where).save_pretrained(partial)
            note_hashes(partial)
    return folder


def default_folder(vision: Path | None, cache_dir: Path | None = None) -> Path:
    """The LLaVA folder for a trained core, kept in the cache by the content of its weights; None: a fresh tower."""
    weights = sorted(vision.glob("*.safetensors")) if vision else []
    digest = hashlib.sha256("".join(map(file_sha256, weights)).encode()).hexdigest()[:16] if weights else "fresh"
    folder = (cache_dir or cache_folder()) / "mllm" / f"{digest}-{MedGlipTokensConfig.model_type}-{SIDE_PX}"
    if not is_as_written(folder):
        assemble(vision or MedGlipVisionConfig(), folder, text=text_folder(cache_dir))
    return folder


def assemble(vision: Path | MedGlipVisionConfig, out_dir: Path, *, text: Path | None = None, seed: int = 0) -> Path:
    """Write the LLaVA folder and return it. `vision`: a trained core's folder (or its image tower's), or sizes alone.

    `text`: another Llama folder instead of SmolLM2. Raises `BadInput` for a folder without an image tower.
    """
    text = text or text_folder()
    named = {"image_token": IMAGE_TOKEN}
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(text, extra_special_tokens=named)
    tokenizer.pad_token = tokenizer.unk_token  # its end-of-text token, not the end of a turn
    tokenizer.padding_side = "left"
    tokenizer.add_tokens([REGION_TOKEN], special_tokens=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tower = MedGlipVisionModel(vision) if isinstance(vision, MedGlipVisionConfig) else image_tower(vision)
        side_px = min(tower.config.image_size, SIDE_PX)
        model: Any = _join(tower, text, tokenizer, side_px)
    processor = transformers.LlavaProcessor(
        # The core's normalisation. It would pad what is not square centred and grey, unlike the core's letterbox;
        # `prompt.render` letterboxes first, so that this padding finds nothing to do.
        image_processor=LlavaImageProcessorPil(
            size={"height": side_px, "width": side_px},
            do_center_crop=False,
            do_pad=True,
            resample=BILINEAR,
            image_mean=[PIXEL_MEAN] * 3,
            image_std=[PIXEL_STD] * 3,
        ),
        tokenizer=tokenizer,
        patch_size=tower.config.patch_size,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
    )
    with write_folder(out_dir) as partial:
        model.to(torch.bfloat16).save_pretrained(partial)
        processor.save_pretrained(partial)
        note_hashes(partial)
    return out_dir


def image_tower(folder: Path) -> MedGlipVisionModel:
    """The image tower of a trained core, or one saved by itself."""
    from ...grounding.model.medglip import MedGlipModel

    with damaged(folder, "give the folder that core training wrote, whole"):
        kind = MedGlipVisionConfig.get_config_dict(folder)[0].get("model_type")
        if kind == MedGlipVisionConfig.model_type:
            return MedGlipVisionModel.from_pretrained(folder)
        if kind == MedGlipConfig.model_type:
            return MedGlipModel.from_pretrained(folder).image_tower
    raise BadInput(f"a {kind!r} model has no image tower of ours.", file=folder, fix="give a trained core's folder")


def _join(
    tower: MedGlipVisionModel, text: Path, tokenizer: Any, side_px: int
) -> transformers.LlavaForConditionalGeneration:
    language: Any = transformers.LlamaForCausalLM.from_pretrained(text, dtype=torch.float32)
    if len(tokenizer) > language.config.vocab_size:  # a row for every token
        language.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    config = transformers.LlavaConfig(
        vision_config=MedGlipTokensConfig(tower=tower.config.to_dict() | {"image_size": side_px}),
        text_config=language.config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=language.config.tie_word_embeddings,
    )
    model = transformers.LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.lm_head.load_state_dict(language.lm_head.state_dict())
    model.tie_weights()
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    model.generation_config = transformers.GenerationConfig(**ids)
    return model
