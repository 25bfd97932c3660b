"""LoRA on the language side, whole or its top layers, with the picture projector trained in full beside it.

The vision side gets it where asked for.
"""

from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer

from ...grounding.bad_input import BadInput
from ..families import GENERIC, Family
from .settings import LoraSettings


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
    try:
        return without_casts(get_peft_model(model, config))
    except ValueError as error:
        raise BadInput(f"no layer for LoRA: {error}", fix="correct mllm.lora.linears") from error


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
    names = "|".join(settings.linears)
    first = 0 if settings.layers is None else max(0, num_layers - settings.layers)
    layers = "|".join(str(index) for index in range(first, num_layers))
    # the vision tower, whose layers have the same names in many families, stays out
    language = rf"(?!.*(vision|visual)).*\blayers\.({layers})\..*\b({names})"
    patterns = [{"language": language, "vision": family.vision_linears}[side] for side in settings.sides]
    if None in patterns or not patterns:
        problem = f"{family.name}: LoRA on {settings.sides or 'no side'} is not possible here."
        raise BadInput(problem, fix="mllm.lora.sides: language")
    return "|".join(f"(?:{pattern})" for pattern in patterns)
