"""QLoRA: the frozen language model in 4-bit NF4 by bitsandbytes, where it and a GPU are there."""

import importlib.util
from typing import Any

import torch

from ...grounding.bad_input import BadInput
from ..families import Family

_VISION = ("vision_tower", "vision_model", "visual")
"""Towers keep their precision: they are small, and what they lose no adapter of the language side brings back."""


def four_bit(family: Family, dtype: torch.dtype) -> Any:
    """The `quantization_config` of `from_pretrained`: NF4 with nested constants, computing in `dtype`.

    Picture projector, vision tower and output matrix stay as they are. Raises `BadInput` naming what is missing.
    """
    require()
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=["lm_head", *family.projectors, *_VISION],
    )


def require() -> None:
    """Raise one `BadInput` that names everything that is missing for 4 bit."""
    lacks = {
        "the package bitsandbytes": importlib.util.find_spec("bitsandbytes") is None,
        "a GPU": not torch.cuda.is_available(),
    }
    if missing := [name for name, is_missing in lacks.items() if is_missing]:
        fix = "pip install 'medglip[gpu]' on a machine with a GPU, or set four_bit: false"
        raise BadInput(f"mllm.lora.four_bit needs {' and '.join(missing)}.", fix=fix)
