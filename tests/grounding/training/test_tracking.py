"""The log of a training is handed to a tracker through accelerate, here to a stub of trackio."""

import importlib.machinery
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import tracking
from accelerate.utils import LoggerType
from torch import Tensor, nn

from medglip.grounding.bad_input import BadInput
from medglip.grounding.training.loop import fit
from medglip.grounding.training.settings import TrainSettings


def train(out: Path, **settings: Any) -> list[dict[str, float]]:
    def loss(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        return {"loss": model(batch).square().mean()}

    return fit(
        nn.Linear(2, 1),
        range(3),
        prepare=lambda example, _: torch.full((2,), float(example)),
        collate=torch.stack,
        loss=loss,
        settings=TrainSettings(steps=3, batch_size=1, warmup_steps=1, **settings),
        out_dir=out,
        name="core",
    )


def test_a_tracker_gets_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    stub: Any = types.ModuleType("trackio")
    stub.__spec__ = importlib.machinery.ModuleSpec("trackio", None)
    run = types.SimpleNamespace(
        log=lambda values, **rest: seen.append((values, rest)), finish=lambda: seen.append("finished")
    )
    stub.init = lambda **options: seen.append(options) or run
    monkeypatch.setitem(sys.modules, "trackio", stub)
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.TRACKIO])
    log = train(tmp_path, tracker="trackio")
    opened, *steps, ended = seen
    assert opened == {"project": "medglip", "name": "core"}
    assert [values["core/loss"] for values, _ in steps] == [entry["loss"] for entry in log]
    assert ended == "finished"


def test_a_tracker_that_is_missing_is_named_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medglip.grounding.training.loop.find_spec", lambda _: None)
    with pytest.raises(BadInput, match="wandb is missing"):
        train(tmp_path, tracker="wandb")
    with pytest.raises(BadInput, match="tensorboard is missing"):
        train(tmp_path, tensorboard=True)  # the older spelling


def test_who_looks_on_is_no_setting_of_what_was_trained() -> None:
    assert "tracker" not in TrainSettings().model_dump()
    assert TrainSettings(tracker="wandb").model_dump()["tracker"] == "wandb"
