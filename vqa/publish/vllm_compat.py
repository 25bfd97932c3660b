"""What a server says to an exported folder, from its documented checks: nothing of a server is imported.

vLLM, https://docs.vllm.ai/en/latest/features/lora/ and `vllm.lora.peft_helper`: no modules_to_save, no DoRA, no bias,
a rank of at most 512; LoRA of a vision tower is left out without a word unless it is switched on for the server.
"""

import json
from pathlib import Path

from safetensors import safe_open

from ..families import OUR_TOWERS
from ..model.grounded_mllm import OUR_FILE

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM's `--max-lora-rank` may have."""
_VISION = ("vision", "visual", "multi_modal_projector", "connector", "image_newline")
_MERGED_FILES = ("config.json", "generation_config.json", "tokenizer_config.json")


def refused_by_vllm(folder: Path, kind: str) -> list[str]:
    """Every reason why vLLM would not load the folder; empty where it would. `kind`: merged or adapter."""
    config_file, ours = folder / "config.json", folder / OUR_FILE
    if kind == "adapter":
        config = json.loads((folder / "adapter_config.json").read_text())
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
        tower = json.loads(config_file.read_text()).get("vision_config", {}).get("model_type")
    else:
        tower = json.loads(ours.read_text()).get("vision") if ours.is_file() else None
    foreign = "it does not know the image tower of the small default (medglip_tokens)"
    return reasons + [foreign] * (tower in OUR_TOWERS)


def max_lora_rank(folder: Path) -> int:
    """The `--max-lora-rank` that a server needs for this adapter."""
    rank = int(json.loads((folder / "adapter_config.json").read_text())["r"])
    return next((allowed for allowed in RANKS if allowed >= rank), rank)


def ignored_by_servers(folder: Path) -> list[str]:
    """A warning where updates outside the language model would be left out silently; empty where there are none."""
    with safe_open(folder / "adapter_model.safetensors", "pt") as tensors:
        names = [name for name in tensors.keys() if any(part in name for part in _VISION)]  # noqa: SIM118
    # `...layers.0.self_attn.q_proj.lora_A.weight` is one of two tensors of a layer
    layers = {name.rpartition(".lora_")[0] for name in names if ".lora_" in name}
    if not layers:
        return []
    return [
        f"vision side: vLLM leaves out the updates of {len(layers)} vision layers without a word and answers "
        "differently (unless started with --enable-tower-connector-lora); export --merged instead"
    ]
