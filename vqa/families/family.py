"""What differs between architectures, as one small frozen record each; everything else is shared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...grounding.vocabulary.box_notation import PERCENT, BoxCodec, BoxText, Frame, Size

Messages = list[dict[str, Any]]
OUR_TOWERS = ("medglip_tokens", "medglip_vision")
"""Model types of a core's image tower, as the small default has it: all its levels, and (until 0.1) the last alone."""
SIGLIP_LAYERS = r".*\bvision_(?:tower|model)\b.*\blayers\.\d+\..*\b(?:q_proj|k_proj|v_proj|out_proj|fc1|fc2)"
"""Linear layers of a CLIP or SigLIP tower."""


def chat(processor: Any, messages: Messages, is_open: bool) -> str:
    """The checkpoint's own chat template. `is_open`: up to where the answer begins."""
    return processor.apply_chat_template(messages, add_generation_prompt=is_open, tokenize=False)


def together(processor: Any, texts: list[str], completions: list[str], images: list[Any], **extra: Any) -> Any:
    """Prompt and answer as one text, images a list a row (or flat, where the processor counts them so)."""
    return processor(
        text=[text + completion for text, completion in zip(texts, completions, strict=True)],
        images=images if any(images) else None,  # None: prompts of text alone
        padding=True,
        add_special_tokens=False,  # the chat template wrote them
        **{"return_tensors": "pt", **extra},
    )


def lists_first(processor: Any, *parts: Any, **extra: Any) -> Any:
    """`together`, made tensors last: a processor that reads its own tensors as arrays does so in a deprecated way."""
    return together(processor, *parts, **extra, return_tensors=None).convert_to_tensors("pt")


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture: its names, notation and rules.

    `model_types`: of `config.model_type`. `boxes`: its notation of a box.
    `frame`: what it sees of an image of (width, height) behind a processor. `write`: messages to text. `encode`: texts,
    answers and images to the model's inputs. `call`: options for every call of the processor. `prepare`: changes
    its image processor once, after loading. `vision_linears`: pattern of the module names that a LoRA
    on the vision side adapts; None: unknown. `projectors`: modules between image and language model, by name.
    `same_as`: further names that a layer of the language model has where a recipe names the usual one, such as
    gate_up_proj where gate_proj is asked for.
    `dtypes`: in which it computes without overflow. `needs_template`: a checkpoint without chat template is refused.
    `max_images`: a prompt takes no more; None: any number. `needs_image`: a prompt without image is not taken.
    `warning`: what is not known, printed at loading.
    """

    name: str
    model_types: tuple[str, ...]
    boxes: BoxCodec = PERCENT
    frame: Callable[[Size, Any], Frame] = lambda size_px, _processor: Frame.whole(size_px)
    write: Callable[[Any, Messages, bool], str] = chat
    encode: Callable[..., Any] = together
    call: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Any], None] = lambda _processor: None
    vision_linears: str | None = SIGLIP_LAYERS
    projectors: tuple[str, ...] = ("multi_modal_projector",)
    same_as: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dtypes: tuple[str, ...] = ("fp32", "bf16", "fp16")
    needs_template: bool = True
    max_images: int | None = None
    needs_image: bool = False
    warning: str = ""

    def box_text(self, processor: Any) -> BoxText:
        """How it writes a box of an image that goes through this processor."""
        return lambda box, size_px: self.boxes.encode(box, size_px, self.frame(size_px, processor))


GENERIC = Family(
    name="generic",
    model_types=(),
    vision_linears=None,
    projectors=("multi_modal_projector", "connector"),
    warning="no record of this architecture: its own box notation, the names of its vision layers and how it tiles "
    "images are not known; boxes are whole percent, LoRA is for the language side, images go through its processor",
)
"""Any other image-text architecture of transformers."""
