"""Which core an adapter belongs to: whose region vectors it reads, and whose image tower the small default has."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from ...grounding.grounders.fingerprint import update_with_weights
from ...grounding.grounders.pretrained import NOTICES, checkpoint_folder, is_shipped


def core_of(folder: Path | None) -> dict[str, str]:
    """`sha256` of a core's weights, and its `name` if it comes with the package; nothing where there is no core."""
    digest = core_sha256(folder)
    name = shipped_core(digest) if digest else None
    return {key: value for key, value in (("sha256", digest), ("name", name)) if value}


def shipped_core(digest: str) -> str | None:
    """The name of the core of the package with these weights."""
    return next((n for n in NOTICES if is_shipped(n) and core_sha256(checkpoint_folder(n)) == digest), None)


def core_sha256(folder: Path | None) -> str | None:
    """Of names and values in fp32, so that the same weights saved in another precision are the same; None: no core."""
    if folder is None or not (folder / "model.safetensors").is_file():
        return None
    file = folder / "config.json"
    config: Any = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if config.get("model_type") != "medglip":
        return None
    digest = hashlib.sha256()
    weights = load_file(folder / "model.safetensors")
    update_with_weights(digest, {name: tensor.float() for name, tensor in weights.items()})
    return digest.hexdigest()
