"""Which language model, and which low-rank updates of it are trained."""

from typing import Literal

from ...grounding.settings import Settings

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
"""Linear layers of a language model, by the names nearly all families give them."""


class LoraSettings(Settings):
    """Which low-rank updates are trained."""

    r: int = 16
    """Rank."""
    alpha: int = 32
    """Scale: the update is multiplied by alpha / r."""
    dropout: float = 0.0
    """On the input of every update."""
    layers: int | None = None
    """Only the top so many layers; none: all."""
    linears: tuple[str, ...] = ATTENTION
    """Linear layers that get an update, by their names in the language model; those of attention alone take a third
    less time than with the MLP's (gate_proj, up_proj, down_proj), and templated answers are learnt as well."""
    sides: tuple[Literal["language", "vision"], ...] = ("language",)
    """Where updates go. Those of the vision side take a backward pass through the tower, and some servers leave them
    out without a word."""
    train_projector: bool = True
    """Train the image projector in full: needed where it is fresh, as in the small default."""
    dora: bool = False
    """Learn the length of each weight column apart from its direction (DoRA, https://arxiv.org/abs/2402.09353); vLLM
    does not serve it."""
    rslora: bool = False
    """Scale by alpha / sqrt(r), steadier at high ranks (rsLoRA, https://arxiv.org/abs/2312.03732)."""
    four_bit: bool = False
    """Keep the frozen language model in 4-bit NF4 (QLoRA, https://arxiv.org/abs/2305.14314): needs a GPU and the
    package bitsandbytes."""


class MllmSettings(Settings):
    """Which language model, and what of it is trained."""

    base: str = "smollm2-135m"
    """`smollm2-135m` (the small default, behind the core's image tower), a model folder, or a hub name."""
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the frozen weights and the arithmetic; what is trained stays in fp32. `auto` is bf16 on a GPU and on a
    processor with AVX-512, and fp32 elsewhere, where bf16 is slower by tens of times."""
    lora: LoraSettings = LoraSettings()
    """Low-rank updates of the language model."""
    aligned: str = ""
    """What a fresh adapter starts from: `small`, which comes with the package and belongs to the core `small`, or a
    folder of `medglip vqa align`; none: from nothing."""
    seed: int = 0
    """Of fresh weights."""


def dtype_here(settings: MllmSettings) -> Literal["fp32", "bf16"]:
    """What the base computes in on this machine."""
    import torch  # settings are read where no model is

    if settings.dtype != "auto":
        return settings.dtype
    # without AVX-512 a product of matrices in bf16 takes sixty times as long as in fp32 (AMD EPYC, torch 2.13)
    has_bf16 = torch.cuda.is_available() or "AVX512" in torch.backends.cpu.get_cpu_capability()
    return "bf16" if has_bf16 else "fp32"
