"""The one loop: resume equals the straight run, checkpoints of another architecture are refused, draws are fixed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import read_lines
from medglip.grounding.training.loop import Draws, fit, rate_factor
from medglip.grounding.training.settings import TrainSettings


class Stop(Exception):
    """Stands for a kill."""


def run(
    out: Path, steps: int = 8, stop_at: int | None = None, width: int = 3, model: nn.Module | None = None
) -> nn.Module:
    torch.manual_seed(0)
    model = model or nn.Sequential(nn.Linear(width, 4), nn.Dropout(0.1), nn.Linear(4, 1))
    calls = 0

    def loss(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise Stop
        return {"loss": (model(batch) - batch.sum(1, keepdim=True)).square().mean()}

    def prepare(example: int, rng: np.random.Generator) -> Tensor:
        return torch.tensor(rng.normal(example, 1, width), dtype=torch.float32)

    settings = TrainSettings(steps=steps, batch_size=2, checkpoint_every=2, warmup_steps=2)
    fit(model, range(5), prepare=prepare, collate=torch.stack, loss=loss, settings=settings, out_dir=out)
    return model


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    straight = run(tmp_path / "straight")
    with pytest.raises(Stop):
        run(tmp_path / "killed", stop_at=6)
    resumed = run(tmp_path / "killed")
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    logs = [(tmp_path / name / "log.jsonl").read_text().count("\n") for name in ("straight", "killed")]
    assert logs == [8, 8]


def test_a_finished_run_only_loads_its_weights(tmp_path: Path) -> None:
    first = run(tmp_path)
    again = run(tmp_path, stop_at=1)
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_more_steps_go_on_under_their_own_schedule(tmp_path: Path) -> None:
    run(tmp_path, steps=4)
    short = list(read_lines(tmp_path / "log.jsonl"))
    run(tmp_path, steps=8)
    long = list(read_lines(tmp_path / "log.jsonl"))
    assert long[:4] == short
    rates = [
        rate_factor(step, TrainSettings(steps=8, warmup_steps=2)) * TrainSettings().learning_rate for step in range(8)
    ]
    assert [row["lr"] for row in long[4:]] == rates[4:]
    assert long[4]["lr"] > long[3]["lr"]  # the short schedule had nearly come down to its floor


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(BadInput, match="another architecture"):
        run(tmp_path, width=5)


def test_a_full_disk_keeps_the_last_whole_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = run(tmp_path / "straight")
    import medglip.grounding.training.checkpoint as resume

    saves = 0
    whole = resume.save_file

    def full(*args: object) -> None:
        nonlocal saves
        saves += 1
        if saves == 3:
            raise OSError(28, "No space left on device")
        whole(*args)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as patch:
        patch.setattr(resume, "save_file", full)
        with pytest.raises(OSError, match="No space"):
            run(tmp_path / "full")
    resumed = run(tmp_path / "full")
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_no_examples_and_a_broken_loss_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no examples"):
        fit(
            nn.Linear(1, 1),
            [],
            prepare=lambda e, r: e,
            collate=lambda b: b,
            loss=lambda m, b: {},
            settings=TrainSettings(),
            out_dir=tmp_path,
        )
    broken = nn.Linear(3, 1)
    nn.init.constant_(broken.weight, float("nan"))
    with pytest.raises(BadInput, match="loss became nan"):
        run(tmp_path / "nan", model=broken)


def test_draws_depend_on_seed_and_number_alone() -> None:
    def numbers(weights: list[float] | None = None) -> list[float]:
        draws = Draws(range(4), lambda e, r: float(e + r.random()), 12, seed=3, weights=weights)
        return [draws[i] for i in (3, 1, 7)]

    assert numbers() == numbers()
    assert numbers([1, 1, 1, 5]) == numbers([1, 1, 1, 5])
    order = Draws(range(4), lambda e, r: e, 400, seed=0, weights=[0, 0, 1, 3]).order
    assert set(order.tolist()) == {2, 3}
    assert 250 < (order == 3).sum() < 350
