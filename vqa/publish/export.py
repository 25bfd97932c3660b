"""A tuned model as a folder for others: merged weights or the adapter, with a card, checked the way others load it.

mllm -> folder -> plain transformers and peft -> the same logits. What a server says to the folder is read from its
documented checks: vLLM, https://docs.vllm.ai/en/latest/features/lora/ and `vllm.lora.peft_helper`, takes no
modules_to_save, no DoRA, no bias, a rank of at most 512; LoRA of a vision tower is left out without a word unless it
is switched on for the server.
"""

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import snapshot_download
from peft import PeftModel
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from ...grounding.bad_input import BadInput
from ...grounding.evidence.evidence import EvidenceSettings
from ...grounding.evidence.names import needs_vectors
from ...grounding.files import read_object, write_atomic, write_folder
from ...grounding.types import NOTICE
from ..families import OUR_TOWERS
from ..model.grounded_mllm import OUR_FILE, GroundedMLLM
from ..model.processor import is_video_missing, load_processor, safe_options
from ..prompt.batch import encode
from ..prompt.prompt import Prompt

ExportForm = Literal["merged", "adapter"]
EXACT, ROUNDED = 1e-3, 0.5
"""Largest difference of two logits that passes: the same weights added up in another order; weights rounded to 16
bit, which moves logits of about 20 by some tenths."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM's `--max-lora-rank` may have."""
_VISION = ("vision", "visual", "multi_modal_projector", "connector", "image_newline")
_MERGED_FILES = ("config.json", "generation_config.json", "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written. `difference`: the largest between two logits, ours and the folder's; `tolerance`: what passes;
    `notices`: its limits.
    """

    folder: Path
    difference: float
    tolerance: float
    notices: tuple[str, ...]


def export(
    mllm: GroundedMLLM,
    base: str,
    out: Path,
    kind: ExportForm,
    prompts: Sequence[Prompt],
    evidence: EvidenceSettings | None = None,
    tolerance: float | None = None,
) -> Exported:
    """Write the folder, load it without medglip and compare logits at the prompts; it appears at `out` only then.

    `mllm` in fp32, spent by merging. `base`: folder or hub name of its base. `prompts`: without region tokens, each
    with an answer. `evidence`: what the adapter was trained with. `tolerance`: see `EXACT`, `ROUNDED`. Raises
    `BadInput` for a folder that is not empty, and for a difference above the tolerance.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput("this folder is not empty.", file=out, fix="give a new one")
    with torch.inference_mode():
        batch = mllm.collate(list(prompts))
        ours, num_labels = mllm(batch).cpu(), batch["labels"].shape[1]
    saved_dtype = getattr(AutoConfig.from_pretrained(base, **safe_options()), "dtype", None)  # of the base's files
    saved_dtype = saved_dtype if isinstance(saved_dtype, torch.dtype) else torch.float32
    is_exact = kind == "adapter" or saved_dtype == torch.float32
    max_difference = tolerance if tolerance is not None else EXACT if is_exact else ROUNDED
    with write_folder(out) as partial:
        _write_weights(mllm, base, partial, kind, evidence, saved_dtype)
        theirs = _plain_logits(mllm, base, partial, kind, prompts, num_labels)
        # over the words both have: a base without a row for `<region>` is shorter
        num_words = min(ours.shape[-1], theirs.shape[-1])
        difference = float((ours[..., :num_words] - theirs[..., :num_words]).abs().max())
        if not difference <= max_difference:
            problem = f"loaded the plain way, its logits differ by {difference:.4g}, more than {max_difference:g}."
            raise BadInput(problem, fix="nothing was written; --tolerance if that is to be borne")
        notices = _notices(mllm, partial, kind, evidence)
        write_atomic(partial / "README.md", _card(mllm, base, kind, difference, notices))
    return Exported(folder=out, difference=difference, tolerance=max_difference, notices=notices)


def _notices(mllm: GroundedMLLM, folder: Path, kind: ExportForm, evidence: EvidenceSettings | None) -> tuple[str, ...]:
    notices = [f"vLLM refuses it: {reason}" for reason in refused_by_vllm(folder, kind)]
    if kind == "adapter":
        rank = int(read_object(folder / "adapter_config.json")["r"])
        max_rank = next((allowed for allowed in RANKS if allowed >= rank), rank)
        notices = notices or [f"vLLM serves it with --enable-lora --max-lora-rank {max_rank}"]
        with safe_open(folder / "adapter_model.safetensors", "pt") as tensors:
            names = [name for name in tensors.keys() if any(part in name for part in _VISION)]  # noqa: SIM118
        # `...layers.0.self_attn.q_proj.lora_A.weight` is one of two tensors of a layer
        if layers := {name.rpartition(".lora_")[0] for name in names if ".lora_" in name}:
            notices.append(
                f"vision side: vLLM leaves out the updates of {len(layers)} vision layers without a word and answers "
                "differently (unless started with --enable-tower-connector-lora); export --merged instead"
            )
    if evidence is None or needs_vectors(evidence.forms):
        known = "was trained" if evidence else "may have been trained"
        notices.append(
            f"region tokens: it {known} with vectors at `<region>`, which need the injector of "
            "medglip.vqa.model.region_tokens; plain transformers and servers show them as a word without meaning. The "
            "forms text, crops and overlay work without it"
        )
    if mllm.letterbox_px:
        notices.append(
            "its image tower is a class of medglip: `import medglip.vqa.model.grounded_mllm` before from_pretrained "
            f"(no remote code needed), and pad pictures right and bottom in black to a {mllm.letterbox_px} px square "
            "first, as medglip.grounding.geometry.Letterbox does"
        )
    if mllm.settings.lora.four_bit:
        notices.append("it was trained over weights in 4 bit; the parity check ran on the unquantised base")
    return tuple(notices)


def _write_weights(
    mllm: GroundedMLLM, base: str, folder: Path, kind: ExportForm, evidence: EvidenceSettings | None, dtype: torch.dtype
) -> None:
    """Weights and processor; of an adapter our own files, too, so that `load` takes the folder back."""
    if kind == "merged":
        model: Any = mllm.model.merge_and_unload()
        model.to(dtype).save_pretrained(folder)
    else:
        mllm.save(folder, evidence)
        shutil.rmtree(folder / "processor")
    # padding on the left, which writing answers needs; set on the tokenizer alone it would not be saved
    mllm.processor.tokenizer.init_kwargs["padding_side"] = "left"
    mllm.processor.save_pretrained(folder)
    if kind == "merged":
        source = Path(base) if Path(base).is_dir() else Path(snapshot_download(base, allow_patterns=["*.json"]))
        for name in ("video_preprocessor_config.json", "generation_config.json"):
            # without torchvision we have no video part to save, yet others may want it
            if (source / name).is_file() and not (folder / name).exists():
                shutil.copy(source / name, folder / name)


@torch.inference_mode()
def _plain_logits(
    mllm: GroundedMLLM, base: str, folder: Path, kind: ExportForm, prompts: Sequence[Prompt], num_labels: int
) -> Tensor:
    """What others get: their classes, their processor, weights as saved, computed in fp32."""
    mllm.model.cpu()
    start = str(folder) if kind == "merged" else base
    model: Any = AutoModelForImageTextToText.from_pretrained(start, dtype=torch.float32, **safe_options())
    if kind == "adapter":
        model = PeftModel.from_pretrained(model, str(folder))
    try:
        processor = AutoProcessor.from_pretrained(folder, **safe_options())
    except (ImportError, ValueError, OSError) as error:
        if not is_video_missing(error):
            raise
        warnings.warn("this processor's video part needs torchvision: checked without it", stacklevel=2)
        processor = load_processor(str(folder) if (folder / "config.json").exists() else base)
    return model.eval()(**encode(prompts, processor, mllm.family)).logits[:, -num_labels - 1 : -1].float()


def _card(mllm: GroundedMLLM, base: str, kind: ExportForm, difference: float, notices: Sequence[str]) -> str:
    """README.md of the folder: what it is, how it is loaded, what it cannot do."""
    imports, start = ["from transformers import AutoModelForImageTextToText, AutoProcessor"], "FOLDER"
    model = "AutoModelForImageTextToText.from_pretrained({})"
    if kind == "adapter":
        imports.append("from peft import PeftModel")
        model, start = f"PeftModel.from_pretrained({model}, FOLDER)", repr(mllm.base)
        if mllm.base == "smollm2-135m":  # which is no name of a hub: the folder that it was put together in
            start = repr(base)
    if mllm.letterbox_px:
        imports.append("import medglip.vqa.model.grounded_mllm  # the image tower")
    lora = mllm.settings.lora
    text = f"""---
library_name: {"transformers" if kind == "merged" else "peft"}
pipeline_tag: image-text-to-text
tags: [medical, medglip]
---
# {mllm.base}, tuned with medglip ({kind})

{NOTICE}

Base: `{mllm.base}` ({mllm.family.name}); its licence holds. LoRA rank {lora.r}, alpha {lora.alpha}\
{", DoRA" * lora.dora}{", rsLoRA" * lora.rslora}, on the {" and ".join(lora.sides)} side.

```python
{chr(10).join(imports)}

model = {model.format(start)}
processor = AutoProcessor.from_pretrained(FOLDER)
```

Loaded this way in fp32 its largest logit difference from the tuned model was {difference:.3g}.
"""
    limits = "".join(f"- {notice}.\n" for notice in notices)
    return text + (f"\n## Limits\n\n{limits}" if notices else "")


def refused_by_vllm(folder: Path, kind: str) -> list[str]:
    """Every reason why vLLM would not load the folder; empty where it would. `kind`: merged or adapter."""
    config_file, ours = folder / "config.json", folder / OUR_FILE
    if kind == "adapter":
        config = read_object(folder / "adapter_config.json")
        projector = "modules_to_save: the picture projector was trained in full (lora.train_projector), export --merged"
        tests = {
            projector: bool(config.get("modules_to_save")),
            "DoRA: export --merged": bool(config.get("use_dora")),
            "biases are trained": config.get("bias", "none") != "none",
            f"rank {config['r']} is above {RANKS[-1]}": config["r"] > RANKS[-1],
            "no adapter_model.safetensors": not (folder / "adapter_model.safetensors").is_file(),
        }
        reasons = [reason for reason, is_so in tests.items() if is_so]
    else:
        reasons = [f"no {name}" for name in _MERGED_FILES if not (folder / name).is_file()]
        if not any((folder / name).is_file() for name in ("processor_config.json", "preprocessor_config.json")):
            reasons.append("no processor_config.json")
        if not list(folder.glob("model*.safetensors")):
            reasons.append("no model.safetensors")
    # our own image tower is a class that no server knows; an adapter alone names it in our file
    if config_file.is_file():
        tower = read_object(config_file).get("vision_config", {}).get("model_type")
    else:
        tower = read_object(ours).get("vision") if ours.is_file() else None
    foreign = "it does not know the image tower of the small default (medglip_tokens)"
    return reasons + [foreign] * (tower in OUR_TOWERS)
