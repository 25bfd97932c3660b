"""The model card of an exported folder: what it is, how it is loaded, what it cannot do."""

from collections.abc import Sequence
from typing import Any

from ...grounding.types import NOTICE

_LOAD = {
    "merged": """model = AutoModelForImageTextToText.from_pretrained(FOLDER)
processor = AutoProcessor.from_pretrained(FOLDER)""",
    "adapter": """model = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained({base!r}), FOLDER)
processor = AutoProcessor.from_pretrained(FOLDER)""",
}


def card(mllm: Any, base: str, kind: str, difference: float, notices: Sequence[str]) -> str:
    """README.md of the folder. `kind`: merged or adapter; `difference`: of the parity check; `notices`: its limits."""
    imports = ["from transformers import AutoModelForImageTextToText, AutoProcessor"]
    imports += ["from peft import PeftModel"] if kind == "adapter" else []
    imports += ["import medglip.vqa.model.grounded_mllm  # the image tower"] if mllm.letterbox_px else []
    lora = mllm.settings.lora
    lines = [
        "---",
        "library_name: " + ("transformers" if kind == "merged" else "peft"),
        "pipeline_tag: image-text-to-text",
        "tags: [medical, medglip]",
        "---",
        f"# {mllm.base}, tuned with medglip ({kind})",
        "",
        NOTICE,
        "",
        f"Base: `{mllm.base}` ({mllm.family.name}); its licence holds. LoRA rank {lora.r}, alpha {lora.alpha}"
        f"{', DoRA' * lora.dora}{', rsLoRA' * lora.rslora}, on the {' and '.join(lora.sides)} side.",
        "",
        "```python",
        *imports,
        "",
        _LOAD[kind].format(base=mllm.base if mllm.base != "smollm2-135m" else base),
        "```",
        "",
        f"Loaded this way in fp32 its largest logit difference from the tuned model was {difference:.3g}.",
        "",
    ]
    if notices:
        lines += ["## Limits", "", *(f"- {notice}." for notice in notices), ""]
    return "\n".join(lines)
