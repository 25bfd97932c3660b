"""The one training loop, on accelerate: one GPU, many GPUs and CPU are the same call. Exact resume after a kill.

Batches are drawn from (seed, step) alone, so a rerun that starts at step k sees what the first run would have seen.
Checkpoints hold trainable parameters only, as safetensors beside the optimizer's state.
"""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from .bad_input import BadInput
from .records import read_lines, write_atomic
from .settings import Settings

Example = TypeVar("Example")
Item = TypeVar("Item")
Losses = dict[str, Tensor]


class TrainSettings(Settings):
    """How long and how fast to train."""

    steps: int = 400
    """Optimizer steps."""
    batch_size: int = 8
    """Examples a step and process."""
    gradient_accumulation: int = 1
    """Batches a step."""
    learning_rate: float = 1e-3
    """Peak of the cosine schedule."""
    min_learning_rate: float = 0.05
    """Last value of the schedule, as a part of the peak."""
    warmup_steps: int = 30
    """Steps of linear warm-up."""
    weight_decay: float = 1e-4
    """AdamW, on matrices only."""
    clip_norm: float = 5.0
    """Gradient norm above which gradients are scaled down."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Autocast: `auto` is bf16 on a GPU and fp32 elsewhere."""
    checkpoint_every: int = 100
    """Steps between checkpoints; a kill loses at most so many."""
    num_workers: int = 0
    """Loader processes."""
    seed: int = 0
    """Seed of the order, the augmentation and dropout."""


class Draws(Dataset[Item], Generic[Example, Item]):
    """Draw number n of the whole training: which example, and its own random generator, from (seed, n) alone."""

    def __init__(
        self,
        examples: Sequence[Example],
        prepare: Callable[[Example, np.random.Generator], Item],
        num_draws: int,
        seed: int,
        weights: Sequence[float] | None = None,
    ):
        self.examples, self.prepare, self.num_draws, self.seed = examples, prepare, num_draws, seed
        self.order = _order(len(examples), num_draws, seed, weights)

    def __len__(self) -> int:
        return self.num_draws

    def __getitem__(self, draw: int) -> Item:
        return self.prepare(self.examples[int(self.order[draw])], np.random.default_rng([self.seed, draw]))


def _order(num: int, num_draws: int, seed: int, weights: Sequence[float] | None) -> np.ndarray:
    """Epoch by epoch without weights; with weights, independent draws in proportion to them."""
    rng = np.random.default_rng(seed)
    if weights is not None:
        chances = np.asarray(weights, np.float64)
        return rng.choice(num, num_draws, p=chances / chances.sum())
    return np.concatenate([rng.permutation(num) for _ in range(math.ceil(num_draws / num))])[:num_draws]


def fit(
    model: nn.Module,
    examples: Sequence[Example],
    *,
    prepare: Callable[[Example, np.random.Generator], Item],
    collate: Callable[[list[Item]], Any],
    loss: Callable[[nn.Module, Any], Losses],
    settings: TrainSettings,
    out_dir: Path,
    weights: Sequence[float] | None = None,
    name: str = "train",
) -> list[dict[str, float]]:
    """Train the parameters that require gradients, in place; return the log, one entry a step.

    `loss(model, batch)` returns named scalars; `loss` is minimised, the others are logged. Continues from the last
    checkpoint in `out_dir`; when the last step is there, only its weights are loaded. Raises `BadInput` for no
    examples, for a checkpoint of another architecture, and for a loss that is not finite.
    """
    if not len(examples):
        raise BadInput("no examples to train on.", fix="check the data section of the recipe and what was skipped")
    set_seed(settings.seed)
    accelerator = _accelerator(settings)
    optimizer = torch.optim.AdamW(_parameter_groups(model, settings), lr=settings.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings))
    first = _resume(model, optimizer, schedule, out_dir)
    log: list[dict[str, float]] = _read_log(out_dir / "log.jsonl", first)
    if first >= settings.steps:
        return log
    loader = _loader(examples, prepare, collate, settings, first, accelerator, weights)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    model.train()
    batches = iter(loader)
    bar = tqdm(desc=name, initial=first, total=settings.steps, unit="step", disable=not accelerator.is_main_process)
    for step in range(first, settings.steps):
        entry = _step(accelerator, model, optimizer, batches, loss, settings, step)
        log.append({"step": step + 1, **entry, "lr": float(schedule.get_last_lr()[0])})
        schedule.step()
        bar.set_postfix(loss=f"{entry['loss']:.3f}", refresh=False)
        bar.update()
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps:
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                _checkpoint(accelerator.unwrap_model(model), optimizer, schedule, log, out_dir, step + 1)
    bar.close()
    model.eval()
    return log


def _accelerator(settings: TrainSettings) -> Accelerator:
    has_gpu = torch.cuda.is_available()
    precision = {"auto": "bf16" if has_gpu else "no", "fp32": "no", "bf16": "bf16"}[settings.precision]
    return Accelerator(mixed_precision=precision)


def _parameter_groups(model: nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up, then cosine to `min_learning_rate`."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    floor = settings.min_learning_rate
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _loader(
    examples: Sequence[Example],
    prepare: Callable[[Example, np.random.Generator], Item],
    collate: Callable[[list[Item]], Any],
    settings: TrainSettings,
    first: int,
    accelerator: Accelerator,
    weights: Sequence[float] | None,
) -> DataLoader[Item]:
    """All draws from step `first` on; accelerate deals the batches out to the processes."""
    a_step = settings.batch_size * settings.gradient_accumulation * accelerator.num_processes
    draws = Draws(examples, prepare, settings.steps * a_step, settings.seed, weights)
    rest = range(first * a_step, settings.steps * a_step)
    return DataLoader(draws, settings.batch_size, sampler=rest, collate_fn=collate, num_workers=settings.num_workers)


def _step(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Any,
    batches: Any,
    loss: Callable[[nn.Module, Any], Losses],
    settings: TrainSettings,
    step: int,
) -> dict[str, float]:
    """One optimizer step over `gradient_accumulation` batches; the logged values are their means."""
    sums: dict[str, float] = {}
    parts = settings.gradient_accumulation
    for part in range(parts):
        batch = next(batches)
        # Dropout depends on the step alone; seeded after the fetch, because a fresh loader draws from this generator.
        torch.manual_seed(hash((settings.seed, step, part, accelerator.process_index)) % 2**63)
        with accelerator.autocast():
            losses = loss(model, batch)
        accelerator.backward(losses["loss"] / parts)
        for key, value in losses.items():
            sums[key] = sums.get(key, 0.0) + float(value.detach()) / parts
    if not math.isfinite(sums["loss"]):
        raise BadInput(f"the loss became {sums['loss']}.", fix="lower learning_rate, or look for broken examples")
    accelerator.clip_grad_norm_(model.parameters(), settings.clip_norm)
    optimizer.step()
    optimizer.zero_grad()
    return sums


def _checkpoint(
    model: nn.Module, optimizer: Any, schedule: Any, log: list[dict[str, float]], out_dir: Path, step: int
) -> None:
    """Write a whole new folder, then point `latest` at it and drop the older ones: a kill leaves one that works."""
    folder = out_dir / f"checkpoint-{step}"
    partial = out_dir / f".checkpoint-{step}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    trained = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(trained, partial / "trained.safetensors")
    state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    torch.save(state, partial / "state.pt")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    write_atomic(out_dir / "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in log))
    write_atomic(out_dir / "latest", folder.name)
    for old in out_dir.glob("checkpoint-*"):
        if old != folder:
            shutil.rmtree(old)


def _resume(model: nn.Module, optimizer: Any, schedule: Any, out_dir: Path) -> int:
    """Load the latest checkpoint, if there is one; return its step."""
    latest = out_dir / "latest"
    if not latest.exists():
        return 0
    folder = out_dir / latest.read_text()
    load_trained(model, folder)
    state = torch.load(folder / "state.pt", weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(folder.name.rpartition("-")[2])


def load_trained(model: nn.Module, folder: Path) -> None:
    """Copy a checkpoint's trained parameters into the model. Raises `BadInput` if it is of another architecture."""
    found = load_file(folder / "trained.safetensors")
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
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


def _read_log(path: Path, first: int) -> list[dict[str, float]]:
    return [row for row in read_lines(path) if row["step"] <= first] if first and path.exists() else []
