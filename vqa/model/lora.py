"""LoRA on the language side, whole or its top layers, with the picture projector trained in full beside it.

The vision side gets it where asked for. QLoRA: the frozen language model in 4-bit NF4 by bitsandbytes, where it and a
GPU are there.
"""

import importlib.util
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import BitsAndBytesConfig

from ...grounding.bad_input import BadInput, explain
from ..families import GENERIC, Family
from .settings import LoraSettings

KEPT_WHOLE = ("vision_tower", "vision_model", "visual", "audio_tower")
"""Towers keep their precision: they are small, and what they lose no adapter of the language side brings back."""


def add_lora(model: Any, settings: LoraSettings, family: Family = GENERIC) -> PeftModel:
    """The model with fresh updates, which change nothing yet (B is zero). Raises `BadInput` if no layer matches."""
    present = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_dora=settings.dora,
        use_rslora=settings.rslora,
        target_modules=targets(settings, num_layers(model), family),
        modules_to_save=[n for n in family.projectors if n in present] or None if settings.train_projector else None,
    )
    with explain("no layer for LoRA", ValueError, fix="correct mllm.lora.linears"):
        return without_casts(get_peft_model(model, config))


def without_casts(model: PeftModel) -> PeftModel:
    """Leave precision to autocast alone: peft's own cast of every input to fp32 and back takes a quarter of a step."""
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
    return model


def num_layers(model: Any) -> int:
    """Layers of the language model."""
    return int(model.config.get_text_config().num_hidden_layers)


def targets(settings: LoraSettings, num_layers: int, family: Family) -> str:
    """The pattern that the full names of the adapted modules match. Raises `BadInput` where a side is not known."""
    first = 0 if settings.layers is None else max(0, num_layers - settings.layers)
    linears = dict.fromkeys(n for name in settings.linears for n in (name, *family.same_as.get(name, ())))
    layers, names = "|".join(map(str, range(first, num_layers))), "|".join(linears)
    # towers, whose layers have the same names in many families, stay out
    language = rf"(?!.*(vision|visual|audio)).*\blayers\.({layers})\..*\b({names})"
    patterns = [{"language": language, "vision": family.vision_linears}[side] for side in settings.sides]
    if None in patterns or not patterns:
        problem = f"{family.name}: LoRA on {settings.sides or 'no side'} is not possible here."
        raise BadInput(problem, fix="mllm.lora.sides: language")
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def four_bit(family: Family, dtype: torch.dtype) -> Any:
    """The `quantization_config` of `from_pretrained`: NF4 with nested constants, computing in `dtype`.

    Picture projector, vision tower and output matrix stay as they are. `require_four_bit` says what it needs.
    """
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=["lm_head", *family.projectors, *KEPT_WHOLE],
    )


def require_four_bit() -> None:
    """Raise one `BadInput` that names everything that is missing for 4 bit."""
    missing = ["the package bitsandbytes"] if importlib.util.find_spec("bitsandbytes") is None else []
    missing += [] if torch.cuda.is_available() else ["a GPU"]
    if missing:
        fix = "pip install 'medglip[gpu]' on a machine with a GPU, or set four_bit: false"
        raise BadInput(f"mllm.lora.four_bit needs {' and '.join(missing)}.", fix=fix)
