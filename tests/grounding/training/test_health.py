"""A training watches its image tower, stops where a stage dies, and goes on from the last whole checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medglip.grounding import BadInput
from medglip.grounding.model.backbones import STRIDES
from medglip.grounding.model.config import MedGlipVisionConfig
from medglip.grounding.model.image_tower import MedGlipVisionModel
from medglip.grounding.training.health import health, make_watch
from medglip.grounding.training.loop import fit, parameter_groups
from medglip.grounding.training.settings import TrainSettings

ROWS = [[1, 16, 1, 1, 3], [4, 16, 1, 2, 3], [4, 24, 1, 2, 3], [4, 32, 1, 2, 3], [4, 48, 1, 2, 3]]
PIXELS = nn.functional.interpolate(torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)), size=(64, 64))
SETTINGS = TrainSettings(steps=60, batch_size=2, learning_rate=1e-2, warmup_steps=5, checkpoint_every=10)


@torch.no_grad()
def standardise(layer: Any, _inputs: Any, out: Tensor) -> Tensor:
    """As norms folded into a pretrained tower do: every channel of mean 0 and deviation 1."""
    mean, std = out.mean((0, 2, 3)), out.std((0, 2, 3)) + 1e-5
    layer.weight.div_(std[:, None, None, None])
    layer.bias.sub_(mean).div_(std)
    return (out - mean[:, None, None]) / std[:, None, None]


class Core(nn.Module):
    """An image tower and a head: as much of a core as is watched."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = MedGlipVisionConfig(image_size=64, rows=ROWS, stage_widths=(16, 0, 0, 0))
        self.image_tower = MedGlipVisionModel(config)
        self.head = nn.Linear(48, 1)
        convs = [layer for layer in self.image_tower.modules() if isinstance(layer, nn.Conv2d)]
        hooks = [layer.register_forward_hook(standardise) for layer in convs]
        self.image_tower(PIXELS)
        for hook in hooks:
            hook.remove()

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.image_tower(pixels).pooler_output)


def train(core: Core, out_dir: Path, settings: TrainSettings, watch: Callable[..., dict[str, float]]) -> list:
    def loss(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        return {"loss": ((model(batch) - batch.mean((1, 2, 3))[:, None]) ** 2).mean()}

    def prepare(index: int, _rng: np.random.Generator) -> Tensor:
        return PIXELS[index]

    images = range(len(PIXELS))
    return fit(
        core, images, prepare=prepare, collate=torch.stack, loss=loss, settings=settings, out_dir=out_dir, watch=watch
    )


def kill(core: Core) -> None:
    with torch.no_grad():
        core.image_tower.backbone.rows[4][0].filter.bias -= 50  # pyright: ignore


def test_a_killed_stage_is_named_with_its_step() -> None:
    core = Core()
    now = health(core.image_tower, PIXELS)
    assert tuple(now) == STRIDES
    assert not any(one.is_dying for one in now.values())
    assert make_watch(PIXELS)(core, 20).keys() == {f"{key}_{s}" for key in ("spread", "dead", "rank") for s in STRIDES}
    assert core.training  # as it was
    kill(core)
    with pytest.raises(BadInput, match=r"stride 32 .* step 20: .* 100%"):
        make_watch(PIXELS)(core, 20)


def test_a_dying_training_stops_before_its_checkpoint_and_goes_on_from_the_last(tmp_path: Path) -> None:
    watch = make_watch(PIXELS)

    def kill_at_50(core: Core, step: int) -> dict[str, float]:
        if step == 50:
            kill(core)
        return watch(core, step)

    quiet = SETTINGS.model_copy(update={"tower_rate": 0.05})
    straight = train(Core(), tmp_path / "straight", quiet, watch)
    with pytest.raises(BadInput, match="step 50"):
        train(Core(), tmp_path / "stopped", quiet, kill_at_50)
    assert (tmp_path / "stopped" / "latest").read_text() == "checkpoint-40"
    assert train(Core(), tmp_path / "stopped", quiet, watch) == straight
    assert [row["step"] for row in straight if "spread_32" in row] == [20, 50]
    assert json.loads((tmp_path / "stopped" / "log.jsonl").read_text().splitlines()[19])["dead_32"] < 0.1


def test_the_rate_of_the_tower_decides_whether_it_lives(tmp_path: Path) -> None:
    fast = SETTINGS.model_copy(update={"learning_rate": 0.1, "steps": 20})
    with pytest.raises(BadInput, match="is dying at step 20"):
        train(Core(), tmp_path / "fast", fast, make_watch(PIXELS))
    train(Core(), tmp_path / "slow", fast.model_copy(update={"tower_rate": 0.05}), make_watch(PIXELS))


def test_groups_share_the_parameters_and_an_unused_rate_is_refused() -> None:
    core = Core()
    assert [group["lr"] for group in parameter_groups(core, SETTINGS)] == [1e-2] * 2  # optimizer states of old stay
    groups = parameter_groups(core, SETTINGS.model_copy(update={"tower_rate": 0.1}))
    assert [group["lr"] for group in groups] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3])
    assert [len(group["params"]) for group in groups[:2]] == [1, 1]  # weight and bias of the head
    assert sum(len(group["params"]) for group in groups) == len(list(core.parameters()))
    with pytest.raises(BadInput, match="tower_rate"):
        parameter_groups(nn.Linear(2, 2), SETTINGS.model_copy(update={"tower_rate": 0.1}))
