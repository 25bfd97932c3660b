"""What an adapter belongs to: its core, its base, and the alignment that it started from."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from ...grounding.bad_input import BadInput, damaged
from ...grounding.files import file_sha256, read_object, sha256
from ...grounding.grounders.fingerprint import update_with_weights
from ...grounding.grounders.pretrained import NOTICES, checkpoint_folder, is_shipped
from ..families import OUR_TOWERS

FILE = "aligned.json"


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
    config = read_object(file) if file.is_file() else {}
    if config.get("model_type") != "medglip":
        return None
    digest = hashlib.sha256()
    with damaged(folder / "model.safetensors"):
        weights = load_file(folder / "model.safetensors")
    update_with_weights(digest, {name: tensor.float() for name, tensor in weights.items()})
    return digest.hexdigest()


def start_of(folder: Path, lora: Mapping[str, Any], base: str) -> Path:
    """The aligned folder that an adapter starts from, checked.

    `lora`: the settings of its low-rank updates as JSON has them; `base`: the folder or hub name that is loaded.
    Raises `BadInput` where it was aligned on another base, such as one with another core's image tower, or with other
    low-rank updates than the settings ask for.
    """
    check_updates(folder, lora)
    facts = read_object(folder / FILE)
    with damaged(folder / FILE):
        # the fingerprint does not differ between machines; shipped folders have one
        fingerprint = facts.get("base_fingerprint")
        if base_fingerprint(base) != fingerprint if fingerprint else base_sha256(base) != facts["base_sha256"]:
            problem = (
                f"aligned on other weights of {facts['base']!r} than those here; is it another core's image tower?"
            )
            raise BadInput(problem, file=folder, fix="align on this recipe's core, or leave out mllm.aligned")
    return folder


def check_updates(folder: Path, lora: Mapping[str, Any]) -> None:
    """Raise `BadInput` for a folder that is not aligned, or whose low-rank updates are not those of the settings.

    Dropout is no part of them: it is a way to train.
    """
    if not (folder / FILE).is_file():
        raise BadInput("no aligned adapter.", file=folder, fix="make one with `medglip vqa align`")
    with damaged(folder / FILE):
        theirs = read_object(folder / FILE)["mllm"]["lora"]
        wrong = [key for key in lora if key != "dropout" and lora[key] != theirs.get(key)]
    if wrong:
        raise BadInput(f"aligned with another mllm.lora (differs in {', '.join(wrong)}).", file=folder, fix=f"{theirs}")


def knows_regions(folder: Path) -> bool:
    """Whether an alignment taught the folder's region projector; False where there was none, or none with regions."""
    file = folder / FILE
    if not file.is_file():
        return False
    with damaged(file):
        return "regions" in read_object(file).get("stages", {})


def has_our_tower(base: str) -> bool:
    """Whether a base is a folder whose image tower is a core's, as that of the small default is."""
    file = Path(base) / "config.json"
    vision = read_object(file).get("vision_config") if file.is_file() else None
    return isinstance(vision, dict) and vision.get("model_type") in OUR_TOWERS


def base_sha256(base: str) -> str:
    """Of the weights in a folder; of the name, for a model of the hub."""
    weights = sorted(Path(base).glob("*.safetensors")) if Path(base).is_dir() else []
    return sha256("".join(map(file_sha256, weights)) or base)


def base_fingerprint(base: str) -> str:
    """`base_sha256`; of a base that `small_default.assemble` wrote, of what it was put together from alone.

    The fresh picture projector, which an aligned adapter replaces, and the placeholders' embeddings, which nothing
    reads, are drawn at random, and draws differ between versions of torch and kinds of CPU. So do the names of tensors
    between versions of transformers: the contents count.
    """
    if not has_our_tower(base):
        return base_sha256(base)
    config = read_object(Path(base) / "config.json")
    # the first id after the text model's own words, `<image>`
    first = config.get("image_token_index", config.get("image_token_id"))
    if first is None:
        return base_sha256(base)
    from safetensors.torch import load_file

    from ...grounding.grounders.fingerprint import tensor_bytes

    hashes: set[str] = set()
    for file in sorted(Path(base).glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            if "multi_modal_projector" in name:
                continue
            has_row_per_word = name.endswith(("embed_tokens.weight", "lm_head.weight"))
            hashes.add(sha256(bytes(tensor_bytes(tensor[:first] if has_row_per_word else tensor))))
    return sha256("".join(sorted(hashes)))
