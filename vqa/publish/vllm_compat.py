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
    return _refused_adapter(folder) if kind == "adapter" else _refused_model(folder)


def max_lora_rank(folder: Path) -> int:
    """The `--max-lora-rank` that a server needs for this adapter."""
    rank = int(json.loads((folder / "adapter_config.json").read_text())["r"])
    return next((allowed for allowed in RANKS if allowed >= rank), rank)


def ignored_by_servers(folder: Path) -> list[str]:
    """A warning where updates outside the language model would be left out silently; empty where there are none."""
    with safe_open(folder / "adapter_model.safetensors", "pt") as tensors:
        outside = {n.rpartition(".lora_")[0] for n in tensors.keys() if ".lora_" in n and _is_vision(n)}  # noqa: SIM118
    if not outside:
        return []
    return [
        f"vision side: vLLM leaves out the updates of {len(outside)} vision layers without a word and answers "
        "differently (unless started with --enable-tower-connector-lora); export --merged instead"
    ]


def _is_vision(name: str) -> bool:
    return any(part in name for part in _VISION)


def _refused_adapter(folder: Path) -> list[str]:
    config = json.loads((folder / "adapter_config.json").read_text())
    reasons = {
        "modules_to_save: the picture projector was trained in full (lora.train_projector), export --merged": bool(
            config.get("modules_to_save")
        ),
        "DoRA: export --merged": bool(config.get("use_dora")),
        "biases are trained": config.get("bias", "none") != "none",
        f"rank {config['r']} is above {RANKS[-1]}": config["r"] > RANKS[-1],
        "no adapter_model.safetensors": not (folder / "adapter_model.safetensors").is_file(),
    }
    return [*(reason for reason, is_so in reasons.items() if is_so), *_foreign_tower(folder)]


def _refused_model(folder: Path) -> list[str]:
    missing = [name for name in _MERGED_FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in ("processor_config.json", "preprocessor_config.json")):
        missing.append("processor_config.json")
    if not list(folder.glob("model*.safetensors")):
        missing.append("model.safetensors")
    return [*(f"no {name}" for name in missing), *_foreign_tower(folder)]


def _foreign_tower(folder: Path) -> list[str]:
    """Our own image tower is a class that no server knows."""
    config, ours = folder / "config.json", folder / OUR_FILE
    if config.is_file():
        is_foreign = json.loads(config.read_text()).get("vision_config", {}).get("model_type") in OUR_TOWERS
    else:
        is_foreign = ours.is_file() and json.loads(ours.read_text()).get("vision") in OUR_TOWERS
    return ["it does not know the image tower of the small default (medglip_tokens)"] if is_foreign else []
