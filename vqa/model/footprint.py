"""What a training of a base needs, counted before any of its weights is there: parameters, memory, operations.

The base and its LoRA are built without storage (PyTorch's meta device) from `config.json` alone. What a forward pass
leaves for the backward pass is counted on the same model, as autograd keeps it, with an attention that keeps no matrix
of all pairs, as on a GPU. T tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers import AttentionInterface, AutoConfig, AutoModelForImageTextToText, AutoTokenizer
from transformers.masking_utils import AttentionMaskInterface

from ...grounding.bad_input import damaged
from ...grounding.evidence.forms.tokens import TokenShape
from ..families import Family, family_of
from .lora import KEPT_WHOLE, add_lora
from .processor import safe_options
from .region_tokens import RegionProjector, add_region_token
from .settings import MllmSettings

NAME = "medglip_counted"
TRIED_TOKENS = 256
"""Length of the pass that is counted; what it keeps grows in proportion to it."""
NF4_BYTES = 4.127 / 8
"""Of a weight in 4 bit with nested constants (QLoRA, https://arxiv.org/abs/2305.14314): 4 bits and .127 of those."""
TRAINED_BYTES = 16
"""Of a trained parameter: fp32 weight and gradient, and the two moments of AdamW."""
LOGIT_BYTES = 16
"""Of a logit at a label: itself, in fp32, its log-softmax and its gradient."""
CONTEXT_BYTES = 2**30
"""For the driver, the kernels and the picture tower's own passing work."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Parameters of one base with one adapter, and what a token of it costs.

    `base`: all of its parameters, `packed` of them in linear layers that 4 bit would pack, `language` in the layers
    that every token passes, `vision` in the picture tower. `lora`, `projector`, `regions`: what is trained.
    `kept_bytes`: what a token leaves for the backward pass, by precision; none where the architecture cannot be
    counted so. `layers`, `width`, `vocabulary`: of the language model. `patches`, `picture_tokens`: of one picture.
    `family`: its record. `has_region_row`: whether the row of `<region>` is counted, for which a tokenizer is needed.
    """

    family: Family
    base: int
    packed: int
    language: int
    vision: int
    lora: int
    projector: int
    regions: int
    kept_bytes: dict[str, float]
    layers: int
    width: int
    vocabulary: int
    patches: int
    picture_tokens: int
    has_region_row: bool

    @property
    def precisions(self) -> tuple[str, ...]:
        """In which a step can be counted, of fp32, bf16 and 4bit."""
        kinds = {"fp32": "fp32", "bf16": "bf16", "4bit": "bf16"}
        return tuple(name for name, kind in kinds.items() if kind in self.kept_bytes)

    @property
    def trained(self) -> int:
        """Trained parameters: LoRA, a copy of the picture projector, the region projector."""
        return self.lora + self.projector + self.regions

    def weight_bytes(self, precision: str) -> float:
        """Of the frozen weights in fp32, bf16 or 4bit, where what is not packed is bf16."""
        if precision == "4bit":
            return NF4_BYTES * self.packed + 2 * (self.base - self.packed)
        return {"fp32": 4, "bf16": 2}[precision] * self.base

    def activation_bytes(self, precision: str, tokens: int, labels: int, is_checkpointed: bool) -> float:
        """Of one example of so many tokens, so many of them labels.

        Checkpointed, each layer keeps its input, and one layer at a time all it needs.
        """
        kind = "fp32" if precision == "fp32" else "bf16"
        kept = self.kept_bytes[kind] * tokens
        if is_checkpointed:
            kept = kept / self.layers + self.layers * self.width * tokens * {"fp32": 4, "bf16": 2}[kind]
        return kept + LOGIT_BYTES * labels * self.vocabulary

    def step_bytes(self, precision: str, batch_size: int, tokens: int, labels: int, is_checkpointed: bool) -> float:
        """Of a whole training step on one GPU."""
        activations = batch_size * self.activation_bytes(precision, tokens, labels, is_checkpointed)
        return self.weight_bytes(precision) + TRAINED_BYTES * self.trained + activations + CONTEXT_BYTES

    def flops(self, tokens: int, pictures: int, labels: int, is_checkpointed: bool) -> float:
        """Floating-point operations of one example in training.

        A weight costs two operations a token forward, and two more backward for what came in; its own gradient is
        needed of trained weights alone. Checkpointing goes forward twice. The picture tower only goes forward. Of
        attention the projections are counted, not the pairs of tokens.
        """
        passes = 3 if is_checkpointed else 2
        through = (self.language + self.lora) * passes + self.lora
        output = 2 * self.vocabulary * self.width * labels
        return 2 * (through * tokens + output + self.vision * self.patches * pictures)


def measure(settings: MllmSettings, base: str, shape: TokenShape, *, allow_download: bool = False) -> Footprint:
    """The footprint of a base, a folder with `config.json` or a hub name. Raises `BadInput` for no image-text model."""
    options = safe_options(allow_download)
    with damaged(Path(base), "give a folder with a config.json, or --download to fetch that of a hub name"):
        config = AutoConfig.from_pretrained(base, **options)
    family = family_of(config)
    counts, kept = {}, {}
    for kind, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with torch.device("meta"):
            model: Any = AutoModelForImageTextToText.from_config(config, dtype=dtype, trust_remote_code=False)
        has_region_row = _add_region_row(base, model, options)
        counts |= _count_base(model, family)
        with torch.device("meta"):
            lora = add_lora(model, settings.lora, family).to(dtype)
            regions = RegionProjector(shape, int(model.get_input_embeddings().weight.shape[1]))
        counts |= _count_trained(lora, regions)
        if bytes_a_token := _kept_bytes(lora):
            kept[kind] = bytes_a_token
    text = config.get_text_config()
    patches, tokens = picture(config)
    return Footprint(
        family=family,
        kept_bytes=kept,
        layers=int(text.num_hidden_layers),
        width=int(text.hidden_size),
        patches=patches,
        picture_tokens=tokens,
        has_region_row=has_region_row,
        **counts,
    )


def _add_region_row(base: str, model: Any, options: dict[str, Any]) -> bool:
    """Give the embedding its row for `<region>`, as loading does; False without a tokenizer, which alone knows."""
    if Path(base).is_dir() and not [*Path(base).glob("tokenizer*")]:  # an empty one would be made up
        return False
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, **options)
    except Exception:  # of whatever class, as many as there are tokenizers: there is none
        return False
    with torch.device("meta"):
        add_region_token(tokenizer, model)
    return True


def _count_base(model: Any, family: Family) -> dict[str, int]:
    whole = ("lm_head", *family.projectors, *KEPT_WHOLE)
    linears = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    packed = {module.weight for name, module in linears if not any(part in name for part in whole)}
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    vision = sum(n for name, n in sizes.items() if any(part in name for part in KEPT_WHOLE))
    passed = sum(n for name, n in sizes.items() if ".layers." in name and not any(part in name for part in KEPT_WHOLE))
    return {
        "base": sum(sizes.values()),
        "packed": sum(weight.numel() for weight in packed),
        "language": passed,
        "vision": vision,
        "vocabulary": int(model.get_input_embeddings().weight.shape[0]),
    }


def _count_trained(lora: nn.Module, regions: nn.Module) -> dict[str, int]:
    trained = {name: p.numel() for name, p in lora.named_parameters() if p.requires_grad}
    of_lora = sum(n for name, n in trained.items() if "lora_" in name)
    rest = sum(trained.values()) - of_lora
    return {"lora": of_lora, "projector": rest, "regions": sum(p.numel() for p in regions.parameters())}


class _Flash(torch.autograd.Function):
    """Attention that keeps its four matrices and no pairs; nothing is computed."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        out = query.new_empty((*query.shape[:-1], value.shape[-1])).transpose(1, 2).contiguous()
        ctx.save_for_backward(query, key, value, out)
        return out


def _attend(_module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
    return _Flash.apply(query, key, value), None  # pyright: ignore[reportReturnType]


def _kept_bytes(lora: Any) -> float | None:
    """Bytes that a token leaves for the backward pass in the language model; None where it does not run on meta."""
    model = lora.get_base_model()
    decoder, embedding = model.get_decoder(), model.get_input_embeddings()
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)
    # the region projector is trained, so that gradients go down to the embedded prompt
    hook = embedding.register_forward_hook(lambda _module, _args, out: out.detach().requires_grad_())
    kinds = set(getattr(decoder.config, "layer_types", None) or ())
    try:
        model.set_attn_implementation({"text_config": NAME})
        with torch.device("meta"), _counting() as kept:
            ids = torch.zeros((1, TRIED_TOKENS), dtype=torch.long)
            # a mask is looked at, which meta cannot; layers of several kinds take theirs as they are
            mask: Any = dict.fromkeys(kinds) if len(kinds) > 1 else torch.ones_like(ids)
            decoder(input_ids=ids, attention_mask=mask, use_cache=False)
    except (NotImplementedError, RuntimeError, ValueError):  # an architecture that looks at its own numbers
        return None
    finally:
        hook.remove()
    return sum(kept.values()) / TRIED_TOKENS


@contextmanager
def _counting() -> Iterator[dict[int, int]]:
    """Bytes of what autograd keeps inside, by storage, but for parameters."""
    kept: dict[int, int] = {}
    alive: list[Any] = []  # a storage that is freed could give its address to another

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter) and not (tensor._is_view() and isinstance(tensor._base, nn.Parameter)):
            storage = tensor.untyped_storage()
            alive.append(storage)
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


SIDE_PX = 896
"""Side of the square picture that is counted where pictures keep their size."""


def picture(config: Any) -> tuple[int, int]:
    """Patches of one picture, and its tokens in a prompt, by the keys that configurations have for them.

    Families that take pictures as they are (Qwen, GLM) get one of `SIDE_PX`; (0, 0) where no key is known.
    """
    vision = getattr(config, "vision_config", None)
    side_px, patch_px = (_number(getattr(vision, name, 0)) for name in ("image_size", "patch_size"))
    if not patch_px:
        return 0, 0
    if merge := _number(getattr(vision, "spatial_merge_size", 0)):
        tokens = (SIDE_PX // (patch_px * merge)) ** 2
        return tokens * merge**2, tokens
    if pool := _number(getattr(vision, "pooling_kernel_size", 0)):  # Gemma 4, at its usual budget
        return 280 * pool**2, 280
    patches = (side_px // patch_px) ** 2
    if tokens := _number(getattr(config, "mm_tokens_per_image", 0)):
        return patches, tokens
    smaller = getattr(config, "downsample_ratio", None) or 1 / (getattr(config, "scale_factor", None) or 1)
    return patches, round(patches * smaller**2)


def _number(value: Any) -> int:
    return int(value[0] if isinstance(value, list | tuple) else value or 0)
