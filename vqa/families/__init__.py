"""The architectures that are known, one record each, and the record of a given model."""

from typing import Any

from ...grounding.bad_input import BadInput, nearest
from .family import GENERIC, OUR_TOWERS, Family
from .gemma3 import GEMMA3
from .gemma4 import GEMMA4
from .glm4v import GLM4V
from .idefics3 import IDEFICS3
from .internvl import INTERNVL
from .llava import LLAVA, SMALL_DEFAULT
from .llava_onevision import LLAVA_ONEVISION
from .paligemma import PALIGEMMA
from .qwen import QWEN2_5_VL, QWEN2_VL, QWEN3_VL
from .qwen3_5 import QWEN3_5

FAMILIES = (
    LLAVA,
    QWEN2_VL,
    QWEN2_5_VL,
    QWEN3_VL,
    QWEN3_5,
    IDEFICS3,
    PALIGEMMA,
    GEMMA3,
    GEMMA4,
    GLM4V,
    INTERNVL,
    LLAVA_ONEVISION,
)

__all__ = ["FAMILIES", "GENERIC", "OUR_TOWERS", "SMALL_DEFAULT", "Family", "family_of"]


def family_of(config: Any) -> Family:
    """The record of a model's config; the generic one for an image-text model without its own.

    Raises `BadInput` for an architecture that is no image-text model.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as SERVED

    kind = str(getattr(config, "model_type", None))
    if getattr(getattr(config, "vision_config", None), "model_type", None) in OUR_TOWERS:
        return SMALL_DEFAULT
    known = {model_type: family for family in FAMILIES for model_type in family.model_types}
    if kind in known:
        return known[kind]
    if kind not in SERVED:
        problem = f"{kind!r} is no image-text architecture; {nearest(kind, known)}"
        raise BadInput(problem, fix="mllm.base: an image-text model")
    return GENERIC
