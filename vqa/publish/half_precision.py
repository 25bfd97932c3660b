"""A trained adapter made fit for the package: half precision, without what a load does not need, without paths.

`load` computes with it in single precision, as with the one it came from.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ...grounding.assets import ASSETS
from ...grounding.bad_input import BadInput, damaged
from ...grounding.files import read_object, told_when_full, write_atomic
from ...grounding.grounders.pretrained import is_hub_name
from ...grounding.training.provenance import FILE as LEARNED
from ..inference.confidence import FILE as CONFIDENCE
from ..model.grounded_mllm import OUR_FILE, PROJECTOR_FILE, resolve
from ..model.identity import FILE as ALIGNED_FILE
from ..model.identity import base_fingerprint, core_of, knows_regions
from ..model.shipped import NAMES

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
MAX_BYTES = 20 * 2**20
_PATH = re.compile(r"(?<![\w.:/)])(?:/(?:root|home|Users|tmp|work|mnt|srv|opt|var|data|scratch)/|[A-Za-z]:\\)")
"""What a path of some machine begins with; an address or a pattern has other letters before its slashes."""


def pack(source: Path, out: Path, core: Path) -> None:
    """Write the adapter of a folder into another, which holds what `load` and, if it is aligned, a recipe need.

    `core`: folder of the core it was trained with. Raises `BadInput` for a base that others cannot name, for weights
    that do not fit half precision, and where the new folder is too large or names a path.
    """
    out.mkdir(parents=True, exist_ok=True)
    ours = read_object(source / OUR_FILE)
    with damaged(source / OUR_FILE):
        base = str(ours["settings"]["base"])
    if base not in ASSETS and not is_hub_name(base):
        raise BadInput(f"its base is a folder of this machine, {base!r}.", file=source, fix="train on a named base")
    halve(source / WEIGHTS, out / WEIGHTS)
    _write(out / CONFIG, read_object(source / CONFIG) | {"base_model_name_or_path": base_words(base)})
    settings = dict(ours["settings"])
    if settings.get("aligned") not in NAMES["aligned"]:  # the folder that it started from says nothing elsewhere
        settings["aligned"] = ""
    _write(out / OUR_FILE, {**ours, "settings": settings, "core": core_of(core)})
    for name in (LEARNED, CONFIDENCE):  # what taught it, and when its answers count
        if (source / name).is_file():
            write_atomic(out / name, (source / name).read_text())
    is_aligned = (source / ALIGNED_FILE).is_file()
    if is_aligned:
        facts = read_object(source / ALIGNED_FILE)
        _write(out / ALIGNED_FILE, facts | {"base_fingerprint": base_fingerprint(resolve(base, core))})
    if knows_regions(source) or not is_aligned:  # that of an alignment without regions is a fresh one
        halve(source / PROJECTOR_FILE, out / PROJECTOR_FILE)
    check(out)


def base_words(base: str) -> str:
    """What plain peft is told of a base. A hub name it can load; of one of ours it would ask hubs for a minute.

    Words that are no name are refused by it at once, with these words.
    """
    return (
        f"{base} behind the image tower of its core, load it with medglip.vqa.load_answerer" if base in ASSETS else base
    )


def halve(source: Path, out: Path) -> None:
    """The tensors of a file in fp16. Raises `BadInput` where one is too large for it, or no number."""
    with damaged(source):
        halves = {name: value.half().contiguous() for name, value in load_file(source).items()}
    if wrong := [name for name, value in halves.items() if not torch.isfinite(value).all()]:
        raise BadInput(f"{wrong[0]} does not fit half precision.", file=source, fix="train it with a lower rate")
    with told_when_full(out.parent):
        save_file(halves, out, metadata={"format": "pt"})
    out.chmod(0o644)  # safetensors leaves it to its owner alone


def check(folder: Path) -> None:
    """Raises `BadInput` for a folder over 20 MiB, and for one whose files name a path of some machine."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    if (size := sum(file.stat().st_size for file in files)) > MAX_BYTES:
        problem = f"{size / 2**20:.1f} MiB, more than {MAX_BYTES // 2**20}."
        raise BadInput(problem, file=folder, fix="a lower mllm.lora.r, or fewer linears")
    for file in files:
        if file.suffix != ".safetensors" and (match := _PATH.search(text := file.read_text(encoding="utf-8"))):
            start = text[match.start() : match.start() + 60]
            raise BadInput(f"names a path of this machine, {start!r}.", file=file, fix="take it out")


def _write(file: Path, values: Mapping[str, Any]) -> None:
    write_atomic(file, json.dumps(values, indent=1) + "\n")
