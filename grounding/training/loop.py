"""The one training loop, on accelerate: one GPU, many GPUs and CPU are the same call. Exact resume after a kill.

Batches are drawn from (seed, step) alone, so a rerun that starts at step k sees what the first run would have seen.
Checkpoints hold trainable parameters only, as safetensors beside the optimizer's state.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.utils import ProjectConfiguration, set_seed
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from ..bad_input import BadInput
from ..files import write_folder
from .checkpoint import WeightAverage, best_value, checkpoint, load_trained, resume, save_weights, trained_parameters
from .settings import TrainSettings

Example = TypeVar("Example")
Item = TypeVar("Item")
Losses = dict[str, Tensor]
Validate = Callable[[nn.Module], float | Mapping[str, float]]
"""A model to how good it is: more is better. Or to several values for the log, of which `validation` chooses."""


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
        rng = np.random.default_rng(seed)
        if weights is not None:  # independent draws in proportion to them
            chances = np.asarray(weights, np.float64)
            self.order = rng.choice(len(examples), num_draws, p=chances / chances.sum())
        else:  # epoch by epoch
            num_epochs = math.ceil(num_draws / len(examples))
            self.order = np.concatenate([rng.permutation(len(examples)) for _ in range(num_epochs)])[:num_draws]

    def __len__(self) -> int:
        return self.num_draws

    def __getitem__(self, draw: int) -> Item:
        return self.prepare(self.examples[int(self.order[draw])], np.random.default_rng([self.seed, draw]))


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
    validate: Validate | None = None,
    watch: Callable[[nn.Module, int], dict[str, float]] | None = None,
    name: str = "train",
) -> list[dict[str, float]]:
    """Train the parameters that require gradients, in place; return the log, one entry a step.

    `loss(model, batch)` returns named scalars; `loss` is minimised, the others are logged. `validate`: see there.
    `watch(model, step)`, at steps 20, 50, then every 100, returns values for the log, or raises to stop before
    the step's checkpoint is written. Continues from the last checkpoint in `out_dir`; where it ended there, only its
    weights are loaded.
    In the end the model holds the best validated weights, else the averaged ones, else the last. Raises `BadInput`
    for no examples, for a checkpoint of another architecture, and for a loss that is not finite.
    """
    if not len(examples):
        raise BadInput("no examples to train on.", fix="check the data section of the recipe and what was skipped")
    set_seed(settings.seed)
    accelerator = _accelerator(settings, out_dir)
    optimizer = torch.optim.AdamW(parameter_groups(model, settings), lr=settings.learning_rate, fused=True)
    average = WeightAverage(model, settings.ema_decay)
    first, log = resume(model, optimizer, average, out_dir)
    # made for these settings at the step that comes next: more steps follow their own curve from there on
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: rate_factor(s, settings), last_epoch=first - 1)
    if first >= settings.steps or _is_spent(log, settings.patience):
        _load_result(model, average, out_dir)
        return log
    # Draw n is example n of one long order that (seed, n) alone decides. A resumed training samples from its first open
    # draw on, and accelerate deals the batches out. Batches of 2, two processes, resumed after step 1:
    #     draws    0 1 | 2 3    4 5 | 6 7    8 9 | ...
    #     process    0 |   1      0 |   1      0            step 1 is done, the sampler begins at 4
    draws_a_step = settings.batch_size * settings.gradient_accumulation * accelerator.num_processes
    draws = Draws(examples, prepare, settings.steps * draws_a_step, settings.seed, weights)
    rest = range(first * draws_a_step, settings.steps * draws_a_step)
    loader = DataLoader(draws, settings.batch_size, sampler=rest, collate_fn=collate, num_workers=settings.num_workers)
    average.to(accelerator.device)
    if is_sharded():  # by ours, not by accelerate's way, which would cut up what is trained as well
        shard_frozen(model.to(accelerator.device))
        loader = accelerator.prepare(loader)
    else:
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    model.train()
    bare = accelerator.unwrap_model(model)
    run: Any = torch.compile(model) if settings.compile else model
    batches = iter(loader)
    _start_tracking(accelerator, settings, out_dir, name)
    bar = tqdm(desc=name, initial=first, total=settings.steps, unit="step", disable=not accelerator.is_main_process)
    for step in range(first + 1, settings.steps + 1):
        entry = _step(accelerator, run, optimizer, batches, loss, settings, step - 1)
        log.append({"step": step, **entry, "lr": float(schedule.get_last_lr()[0])})
        schedule.step()
        average.update(bare, step)
        if watch and (step in (20, 50) or step % 100 == 0):
            log[-1] |= watch(bare, step)
        if validate and _is_due(step, settings.validate_every, settings):
            log[-1] |= _validate(bare, validate, average, out_dir, accelerator)
        bar.set_postfix(loss=f"{log[-1]['loss']:.3f}", refresh=False)
        bar.update()
        accelerator.log({f"{name}/{key}": value for key, value in log[-1].items()}, step=step)
        is_spent = _is_spent(log, settings.patience)
        if is_spent or _is_due(step, settings.checkpoint_every, settings):
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                checkpoint(bare, optimizer, average, log, out_dir, step)
        if is_spent:
            break
    bar.close()
    for tracker in accelerator.trackers:  # `end_training` would also part the processes
        tracker.finish()
    accelerator.wait_for_everyone()
    _load_result(bare, average, out_dir)
    return log


def parameter_groups(model: nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    """What is trained, for AdamW: matrices, and what does not decay (norms, biases); those of the image tower apart if
    it has a rate of its own. Raises `BadInput` for such a rate where no image tower of a core is trained.
    """
    rates = list(dict.fromkeys([1.0, settings.tower_rate]))
    of_rate: dict[float, list[nn.Parameter]] = {rate: [] for rate in rates}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_tower = "image_tower" in name.split(".")  # also as the backbone of another detector
            of_rate[settings.tower_rate if is_tower else 1.0].append(parameter)
    if not of_rate[rates[-1]] and len(rates) > 1:
        raise BadInput("tower_rate is set, but no image tower of a core is trained here.", fix="leave it out")
    return [
        {
            "params": [parameter for parameter in of_rate[rate] if (parameter.ndim > 1) is decays],
            "lr": rate * settings.learning_rate,
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for rate in rates
        for decays in (True, False)
    ]


def _is_due(step: int, every: int, settings: TrainSettings) -> bool:
    """At every so many steps, and at the last one; never for 0."""
    return bool(every) and (step % every == 0 or step == settings.steps)


def _is_spent(log: Sequence[dict[str, float]], patience: int) -> bool:
    """Whether the last `patience` validations were no better than the best before them."""
    values = [entry["validation"] for entry in log if "validation" in entry]
    return 0 < patience < len(values) and max(values[-patience:]) <= max(values[:-patience])


def _validate(
    model: nn.Module,
    validate: Validate,
    average: WeightAverage,
    out_dir: Path,
    accelerator: Accelerator,
) -> dict[str, float]:
    """The averaged weights' values on every process; the best so far are kept in `best`."""
    best = out_dir / "best"
    with average.used_by(model):
        found = validate(model)
        values = dict(found) if isinstance(found, Mapping) else {"validation": float(found)}
        value = values["validation"]
        if accelerator.is_main_process and value > best_value(best):
            with write_folder(best) as partial:
                save_weights(model, partial)
                (partial / "value.json").write_text(json.dumps(value))
    return values


def _load_result(model: nn.Module, average: WeightAverage, out_dir: Path) -> None:
    """Give the model the weights that the training was for, and set it to eval mode."""
    if (out_dir / "best" / "value.json").exists():
        load_trained(model, out_dir / "best")
    else:
        average.copy_to(model)
    model.eval()


def _accelerator(settings: TrainSettings, out_dir: Path) -> Accelerator:
    precision = {"auto": "bf16" if torch.cuda.is_available() else "no", "fp32": "no", "bf16": "bf16"}
    processes()
    # a batch without regions does not use the region projector, an adapter without evidence never does
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        mixed_precision=precision[settings.precision],
        kwargs_handlers=[unused],
        log_with=_tracker(settings),
        project_config=ProjectConfiguration(project_dir=str(out_dir), logging_dir=str(out_dir)),
    )


def _tracker(settings: TrainSettings) -> str | None:
    """Name of who else gets the log; None: nobody. Raises `BadInput` where its package is missing."""
    name = settings.tracker or ("tensorboard" if settings.tensorboard else "")
    if name and find_spec(name) is None:
        raise BadInput(f"{name} is missing.", fix=f"pip install {name}, or leave `train.tracker` out")
    return name or None


def _start_tracking(accelerator: Accelerator, settings: TrainSettings, out_dir: Path, name: str) -> None:
    """Open the run `name` of the tracker, if there is one; TensorBoard writes into `out_dir/tensorboard`."""
    if (tracker := _tracker(settings)) is None:
        return
    options: dict[str, dict[str, Any]] = {"tensorboard": {}, "wandb": {"name": name, "dir": str(out_dir)}}
    project = "tensorboard" if tracker == "tensorboard" else "medglip"
    accelerator.init_trackers(project, init_kwargs={tracker: options.get(tracker, {"name": name})})


def processes() -> PartialState:
    """The processes of this training; on the CPU, too, where accelerate must be told so before it looks for them."""
    return PartialState(cpu=not torch.accelerator.is_available())


def is_sharded() -> bool:
    """Whether several processes share the frozen weights: `accelerate launch` with a config of the type FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" and processes().num_processes > 1


def shard_frozen(model: nn.Module) -> None:
    """Cut the frozen weights of each layer of a language model into a part for each process (FSDP2).

    A layer is gathered when it computes. What is trained is small and stays whole everywhere, so that checkpoints,
    averages and adapters are those of one GPU; `_average_gradients` keeps it equal.
    """
    names = {name for module in model.modules() for name in getattr(module, "_no_split_modules", None) or ()}
    trained = {parameter for parameter in model.parameters() if parameter.requires_grad}
    for module in list(model.modules()):
        if type(module).__name__ in names:
            fully_shard(module, ignored_params=trained)


def _average_gradients(model: nn.Module) -> None:
    """The mean over all processes; a parameter that a process did not use has a gradient of 0 there."""
    trained = list(trained_parameters(model).values())
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for parameter, part in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
        parameter.grad = part.view_as(parameter)


def rate_factor(step: int, settings: TrainSettings) -> float:
    """Part of the peak rate at a step: linear warm-up, then a cosine down to `min_learning_rate`."""
    # 30 warm-up steps of 400: 1/30, 2/30 ... 1 at step 29, half way down at step 215, the floor at step 400
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    floor = settings.min_learning_rate
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


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
        # `hash` of a tuple of integers is the same in every process and run, unlike that of a string.
        torch.manual_seed(hash((settings.seed, step, part, accelerator.process_index)) % 2**63)
        with accelerator.autocast():
            losses = loss(model, batch)
        accelerator.backward(losses["loss"] / parts)
        for key, value in losses.items():
            sums[key] = sums.get(key, 0.0) + float(value.detach()) / parts
    if not math.isfinite(sums["loss"]):
        raise BadInput(f"the loss became {sums['loss']}.", fix="lower learning_rate, or look for broken examples")
    if is_sharded():
        _average_gradients(model)
    accelerator.clip_grad_norm_(model.parameters(), settings.clip_norm)
    optimizer.step()
    optimizer.zero_grad()
    return sums
