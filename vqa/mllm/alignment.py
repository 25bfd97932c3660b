"""The folder of an aligned adapter: what it was made of, and whether another training may start from it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...grounding.bad_input import BadInput
from ...grounding.records import file_sha256, sha256

FILE = "aligned.json"


def start_of(folder: Path, lora: Mapping[str, Any], base: str) -> Path:
    """The aligned folder that an adapter starts from, checked.

    `lora`: the settings of its low-rank updates as JSON has them; `base`: the folder or hub name that is loaded.
    Raises `BadInput` where it was aligned on another base, such as one with another core's image tower, or with other
    low-rank updates than the settings ask for.
    """
    if not (folder / FILE).is_file():
        raise BadInput("no aligned adapter.", file=folder, fix="make one with `medglip vqa align`")
    facts = json.loads((folder / FILE).read_text())
    if facts["base_sha256"] != base_sha256(base):
        raise BadInput(
            f"aligned on other weights of {facts['base']!r} than those here; is it another core's image tower?",
            file=folder,
            fix="align on this recipe's core, or leave out mllm.aligned",
        )
    theirs = facts["mllm"]["lora"]
    if wrong := [key for key in lora if lora[key] != theirs.get(key)]:
        raise BadInput(f"aligned with another mllm.lora (differs in {', '.join(wrong)}).", file=folder, fix=f"{theirs}")
    return folder


def base_sha256(base: str) -> str:
    """Of the weights in a folder; of the name, for a model of the hub."""
    weights = sorted(Path(base).glob("*.safetensors")) if Path(base).is_dir() else []
    return sha256("".join(map(file_sha256, weights)) or base)
