"""What a training leaves on disk and goes on from: a folder a checkpoint, written whole, and a pointer to the last one.

Trainable parameters only, as safetensors, beside the optimizer's state; a kill at any moment leaves one that works.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ..bad_input import BadInput
from ..files import read_lines, write_atomic, write_folder
from .ema import WeightAverage, trained

OTHER_TRAINING = "holds a training of other settings"
"""The problem of a folder that `claim_folder` refuses."""


def finished_steps(model_dir: Path) -> int:
    """Steps of the training whose result this folder is; 0 where none has ended."""
    file = model_dir / "finished.json"
    return int(json.loads(file.read_text())["steps"]) if file.exists() else 0


def checkpoint(
    model: nn.Module,
    optimizer: Any,
    schedule: Any,
    average: WeightAverage,
    log: list[dict[str, float]],
    out_dir: Path,
    step: int,
) -> None:
    """Write a whole new folder, then point `latest` at it and drop the older ones: a kill leaves one that works."""
    folder = out_dir / f"checkpoint-{step}"
    with write_folder(folder) as partial:
        save_weights(model, partial)
        if average.weights:
            averages = {name: w.cpu().contiguous() for name, w in average.weights.items()}
            save_file(averages, partial / "average.safetensors")
        state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
        torch.save(state, partial / "state.pt")
    write_atomic(out_dir / "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in log))
    write_atomic(out_dir / "latest", folder.name)
    for old in [*out_dir.glob("checkpoint-*"), *out_dir.glob(".checkpoint-*")]:  # with a dot: left by a kill
        if old != folder:
            shutil.rmtree(old)


def save_weights(model: nn.Module, folder: Path) -> None:
    """The trained parameters as `trained.safetensors`."""
    weights = {name: p.detach().cpu().contiguous() for name, p in trained(model).items()}
    save_file(weights, folder / "trained.safetensors")


def resume(model: nn.Module, optimizer: Any, schedule: Any, average: WeightAverage, out_dir: Path) -> int:
    """Load the latest checkpoint, if there is one; return its step."""
    latest = out_dir / "latest"
    if not latest.exists():
        return 0
    folder = out_dir / latest.read_text()
    load_trained(model, folder)
    if average.weights:
        average.load(load_file(folder / "average.safetensors"))
    state = torch.load(folder / "state.pt", weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(folder.name.rpartition("-")[2])


def load_trained(model: nn.Module, folder: Path) -> None:
    """Copy a checkpoint's trained parameters into the model. Raises `BadInput` if it is of another architecture."""
    found = load_file(folder / "trained.safetensors")
    wanted = trained(model)
    wrong = [
        n
        for n in wanted.keys() | found.keys()
        if n not in wanted or n not in found or wanted[n].shape != found[n].shape
    ]
    if wrong:
        raise BadInput(
            f"checkpoint of another architecture: {len(wrong)} parameters differ, first {sorted(wrong)[0]!r}.",
            file=folder,
            fix="give the recipe that wrote it, or another out_dir",
        )
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(found[name])


def read_log(path: Path, first: int) -> list[dict[str, float]]:
    """The log up to step `first`."""
    return [row for row in read_lines(path) if row["step"] <= first] if first and path.exists() else []
