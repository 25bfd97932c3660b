"""`medglip doctor`: what this installation can do, and what each thing that is missing costs. Nothing is loaded."""

import base64
import json
import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from ...grounding.assets import ASSETS, asset_file, cache_folder
from ...grounding.files import file_sha256
from ...grounding.grounders.pretrained import NOTICES, checkpoint_folder
from ...grounding.grounders.pretrained import is_shipped as is_shipped_core
from ...report.output.write import BROWSERS
from ...vqa.model.settings import MllmSettings, dtype_here
from ...vqa.model.shipped import NAMES, is_shipped, shipped_folder
from .extras import EXTRAS

PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets", "numpy", "pydicom", "highdicom")
PROGRAMS = {
    ("java",): "METEOR of `eval report` and `--tokenization ptb`",
    BROWSERS: "`report write --pdf`",
    ("nvidia-smi",): "NVIDIA GPU: all runs on the processor, and training takes hours where it takes minutes there",
}
"""Programs that are no Python, any one of a row -> what does not work without."""


def examine() -> tuple[list[str], bool]:
    """The lines for the terminal, and whether everything that is here is sound."""
    weights = list(_weights())
    lines = [f"medglip {_version('medglip')}, Python {platform.python_version()}, {platform.platform()}"]
    lines += [f"  {name} {_version(name)}" for name in PACKAGES]
    lines += ["devices", f"  {os.cpu_count()} processors", *_gpus()]
    unrecorded = "" if _recorded() else "; without records of an installed package only their length is checked"
    lines += [f"weights that come along{unrecorded}", *(line for line, _ in weights)]
    lines += ["caches", f"  MEDGLIP_CACHE {cache_folder()}, {_free_gb(cache_folder()):.0f} GB free"]
    assets = list(_assets())
    lines += [line for line, _ in assets]
    data = os.environ.get("MEDGLIP_DATA")
    lines.append(f"  MEDGLIP_DATA {data or 'is not set: paths of data sets are seen from the current folder'}")
    lines += ["programs", *_programs(), "optional packages"]
    for name, extra in EXTRAS.items():
        state = "here" if extra.is_here else f"missing: {extra.without}. pip install 'medglip[{name}]': {extra.price}"
        lines.append(f"  {name}: {state}")
    return lines, all(is_sound for _, is_sound in [*weights, *assets])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"


def _gpus() -> Iterator[str]:
    import torch  # the slowest line of all, so only here

    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        yield f"  {facts.name}, {facts.total_memory / 2**30:.0f} GB"
    if torch.backends.mps.is_available():
        yield "  Apple GPU (mps)"
    if not torch.accelerator.is_available():
        yield f"  no GPU that torch {torch.__version__} can use"
        if dtype_here(MllmSettings()) == "fp32":
            yield "  no AVX-512: language models compute in fp32, as bf16 is many times slower on such a processor"


def _weights() -> Iterator[tuple[str, bool]]:
    """One line for each file of weights of the package, and whether it is what was shipped."""
    folders = {name: checkpoint_folder(name) for name in NOTICES if is_shipped_core(name)}
    for kind, names in NAMES.items():
        folders |= {f"{kind} {name}": shipped_folder(kind, name) for name in names if is_shipped(kind, name)}
    recorded = _recorded()
    for name, folder in folders.items():
        for file in sorted(folder.glob("*.safetensors")):
            own, wanted = file_sha256(file), recorded.get(file.resolve())
            is_sound = _is_whole(file) and wanted in (None, own)
            state = "as installed" if wanted else "whole"
            fix = "DAMAGED: pip install --force-reinstall medglip"
            yield f"  {name}/{file.name} sha256 {own[:12]}, {state if is_sound else fix}", is_sound


def _recorded() -> dict[Path, str]:
    """The sha256 that pip wrote down for each installed file; nothing in a checkout."""
    try:
        files = distribution("medglip").files or []
    except PackageNotFoundError:
        return {}
    hashed = {Path(str(file.locate())).resolve(): file.hash for file in files if file.suffix == ".safetensors"}
    # "sha256=47DEQp...": base64 without its padding
    return {path: base64.urlsafe_b64decode(f"{h.value}==").hex() for path, h in hashed.items() if h is not None}


def _is_whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says."""
    with file.open("rb") as data:
        length = int.from_bytes(data.read(8), "little")
        try:
            header = json.loads(data.read(min(length, file.stat().st_size)))
        except ValueError:
            return False
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return file.stat().st_size == 8 + length + max(ends, default=0)


def _assets() -> Iterator[tuple[str, bool]]:
    """One line for each asset in the cache, or that it is not there."""
    for name, asset in ASSETS.items():
        file = asset_file(name)
        if not file.is_file():
            size = f"{asset.size / 1e6:.0f} MB"
            yield f"  {name}: not fetched; `medglip assets fetch {name}` ({size}), else when it is first needed", True
            continue
        is_sound = file_sha256(file) == asset.sha256
        yield f"  {name}: sha256 {'matches' if is_sound else 'DIFFERS: it is fetched again at its next use'}", is_sound


def _programs() -> Iterator[str]:
    for names, without in PROGRAMS.items():
        path = next(filter(None, map(shutil.which, names)), None)
        yield f"  {names[0]}: {path or f'missing: no {without}'}"


def _free_gb(folder: Path) -> float:
    place = next(parent for parent in [folder, *folder.parents] if parent.exists())
    return shutil.disk_usage(place).free / 1e9
