"""Checkpoints of a training: whole folders, a pointer to the last one; and averaged weights.

Trainable parameters only, as safetensors, beside the optimizer's state; a kill at any moment leaves one that works.
"""

import json
import math
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ..bad_input import BadInput, damaged
from ..files import read_lines, read_object, write_atomic, write_folder
from ..foreign import read_json

OTHER_TRAINING = "holds a training of other settings"
"""The problem of a folder that `claim_folder` refuses."""
ANEW = "copy the folder of the training again, or remove it to train anew"
"""What to do about a damaged checkpoint."""


class WeightAverage:
    """Averages of the trained parameters of a model; `decay` 0 switches it off, and the weights are their own average.

    The decay grows from 0.1 to `decay` in the first steps, so that the random start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in trained_parameters(model).items()} if decay else {}

    def to(self, device: torch.device) -> None:
        """Move the averages to where the model is trained."""
        self.weights = {name: weight.to(device) for name, weight in self.weights.items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step number `step`, from 1."""
        if self.weights:
            mine = trained_parameters(model)
            # .1, .18, .25 ... .9 at step 81: averages over about the last tenth of the steps so far
            decay = min(self.decay, step / (9 + step))
            torch._foreach_lerp_(list(self.weights.values()), [mine[name].detach() for name in self.weights], 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Make the averages the model's weights."""
        mine = trained_parameters(model)
        for name, average in self.weights.items():
            mine[name].copy_(average)

    @contextmanager
    def used_by(self, model: nn.Module) -> Iterator[None]:
        """The model with averaged weights, in eval mode; afterwards everything is as before."""
        mine, was_training = trained_parameters(model), model.training
        own = {name: mine[name].detach().clone() for name in self.weights}
        # not a copy of the model: compiled and distributed wrappers hold the parameters themselves
        self.copy_to(model)
        model.eval()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in own.items():
                    mine[name].copy_(weight)
            model.train(was_training)


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require gradients, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def finished_steps(model_dir: Path) -> int:
    """Steps of the training whose result this folder is; 0 where none has ended."""
    file = model_dir / "finished.json"
    if not file.exists():
        return 0
    with damaged(file, "remove it: the training goes on from its last checkpoint"):
        return int(read_object(file)["steps"])


def checkpoint(
    model: nn.Module,
    optimizer: Any,
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
        torch.save({"optimizer": optimizer.state_dict()}, partial / "state.pt")
    write_atomic(out_dir / "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in log))
    write_atomic(out_dir / "latest", folder.name)
    for old in [*out_dir.glob("checkpoint-*"), *out_dir.glob(".checkpoint-*")]:  # with a dot: left by a kill
        if old != folder:
            shutil.rmtree(old)


def save_weights(model: nn.Module, folder: Path) -> None:
    """The trained parameters as `trained.safetensors`."""
    weights = {name: p.detach().cpu().contiguous() for name, p in trained_parameters(model).items()}
    save_file(weights, folder / "trained.safetensors")


def resume(
    model: nn.Module, optimizer: Any, average: WeightAverage, out_dir: Path
) -> tuple[int, list[dict[str, float]]]:
    """Load the latest checkpoint, if there is one; return its step, and the log up to it."""
    latest = out_dir / "latest"
    if not latest.exists():
        return 0, []
    folder, log = latest_folder(out_dir), out_dir / "log.jsonl"
    load_trained(model, folder)
    if average.weights:
        with damaged(folder / "average.safetensors", ANEW):
            saved = load_file(folder / "average.safetensors")
            average.weights = {name: weight.copy_(saved[name]) for name, weight in average.weights.items()}
    with damaged(folder / "state.pt", ANEW):
        optimizer.load_state_dict(torch.load(folder / "state.pt", weights_only=True)["optimizer"])
    step = int(folder.name.rpartition("-")[2])
    with damaged(log, "remove it: only the curve of the losses is lost"):
        return step, [row for row in read_lines(log) if row["step"] <= step] if log.exists() else []


def best_value(best: Path) -> float:
    """What the best weights so far were worth on validation; -inf where none were validated."""
    file = best / "value.json"
    if not file.exists():
        return -math.inf
    with damaged(file, ANEW):
        return float(read_json(file))


def latest_folder(out_dir: Path) -> Path:
    """The last checkpoint of a training, that `latest` names. Raises `BadInput` where it names none."""
    file = out_dir / "latest"
    with damaged(file, ANEW):
        name = file.read_text(encoding="utf-8")
        if not re.fullmatch(r"checkpoint-\d+", name) or not (out_dir / name).is_dir():
            raise BadInput(f"names no checkpoint: {name[:60]!r}.", file=file, fix=ANEW)
        return out_dir / name


def load_trained(model: nn.Module, folder: Path) -> None:
    """Copy a checkpoint's trained parameters into the model. Raises `BadInput` if it is of another architecture."""
    with damaged(folder / "trained.safetensors", ANEW):
        weights, parameters = load_file(folder / "trained.safetensors"), trained_parameters(model)
    ours, theirs = ({name: tensor.shape for name, tensor in side.items()} for side in (parameters, weights))
    if wrong := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        problem = f"checkpoint of another architecture: {len(wrong)} parameters differ, first {wrong[0]!r}."
        raise BadInput(problem, file=folder, fix="give the recipe that wrote it, or another out_dir")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
