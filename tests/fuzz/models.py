"""Readers of weights and of what trainings and runs leave: cores, adapters, bases, checkpoints, caches of regions."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from making import make_image

from medglip.grounding import Region
from medglip.grounding.files import claim_folder
from medglip.grounding.grounders.cache import regions_of
from medglip.grounding.grounders.oracle import TruthGrounder
from medglip.grounding.grounders.pretrained import load_grounder, vocabulary_of
from medglip.grounding.training.checkpoint import (
    WeightAverage,
    checkpoint,
    finished_steps,
    load_trained,
    resume,
    save_weights,
)
from medglip.scripts.inference.system import TrainedSystem
from medglip.scripts.inference.systems import AdapterSystem, RunSystem

from .making_files import picture, put
from .region_sets import MADE
from .trying import Reader

CORE = "run/grounding/model"


def _copy(*names: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name in names:
            source = MADE / name
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)

    return make


def _core() -> None:
    load_grounder(CORE)
    vocabulary_of(CORE)


def _open(system: TrainedSystem) -> None:
    _ = system.core, system.vocabulary, system.shown, system.mllm
    system.adapter("predicted")


def _load(system: TrainedSystem) -> None:
    _open(system)
    system.model("predicted")


# ---- checkpoints of a training


def _training(folder: Path) -> tuple[torch.nn.Module, torch.optim.Optimizer, WeightAverage]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, torch.optim.AdamW(model.parameters()), WeightAverage(model, 0.9)


def _put_training(folder: Path) -> None:
    model, optimizer, average = _training(folder)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint(model, optimizer, average, [{"step": 1, "loss": 0.5}], folder, 1)
    (folder / "best").mkdir()
    save_weights(model, folder / "best")
    put(folder / "finished.json", {"steps": 1})
    claim_folder(folder / "settings.json", {"seed": 0, "train": {"steps": 2}}, "another training")


def _resume() -> None:
    here = Path()
    model, optimizer, average = _training(here)
    claim_folder(here / "settings.json", {"seed": 0, "train": {"steps": 2}}, "another training")
    resume(model, optimizer, average, here)
    load_trained(model, here / "best")
    finished_steps(here)


# ---- regions


def _ground(folder: Path) -> None:
    mask = np.zeros((20, 30), bool)
    mask[4:9, 6:15] = True
    region = Region(phrase="liver", box_xyxy_px=np.array([6, 4, 15, 9], np.float32), mask=mask)
    image = make_image("a", image_path=folder / "a.png", size_px=(30, 20), regions=(region,), phrases=("liver",))
    found, _ = regions_of(TruthGrounder(), [image], [["liver"]], folder / "regions")
    _ = found["a"]


def _put_regions(folder: Path) -> None:
    picture(folder / "a.png")
    _ground(folder)
    (shard,) = (folder / "regions").rglob("*.parquet")
    shard.rename(shard.with_name("a.parquet"))  # its own name is another each time


READERS = {
    "core": Reader(_copy(CORE), _core, weight=0.3),
    "run": Reader(
        _copy("run/recipe.json", "run/vocabulary.json", CORE, "run/adapter-grounded", "base"),
        lambda: _open(RunSystem(Path("run"))),
        ("run/*.json",),
    ),
    "adapter": Reader(
        _copy(CORE, "adapter", "base"),
        lambda: _open(AdapterSystem(Path("adapter"), CORE)),
        ("adapter/*.json",),
    ),
    "adapter loaded": Reader(
        _copy(CORE, "adapter", "base"),
        lambda: _load(AdapterSystem(Path("adapter"), CORE)),
        ("adapter/*.json", "adapter/*.safetensors"),
        weight=0.15,
    ),
    "base loaded": Reader(
        _copy(CORE, "base"), lambda: _load(AdapterSystem(None, CORE, "base")), ("base/*",), weight=0.15
    ),
    "training": Reader(_put_training, _resume, weight=0.5),
    "cache of regions": Reader(_put_regions, lambda: _ground(Path()), ("regions/**/*.parquet",), weight=0.5),
}
