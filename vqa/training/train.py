"""Training of the grounded MLLM: LoRA, picture projector and region projector learn to write the target.

B batch, K answer tokens, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...grounding.evidence.evidence import EvidenceSettings, perturb
from ...grounding.training.loop import Losses, fit, processes
from ...grounding.training.settings import TrainSettings
from ..model.grounded_mllm import GroundedMLLM
from ..model.lm_head import per_example
from ..prompt.batch import Batch
from ..prompt.prompt import Example, Prompt, instruction_text
from .settings import MllmTrainSettings

Draws = tuple[Sequence[Any], Callable[..., Any], Callable[..., Batch], TrainSettings]
"""What `fit` draws from, how a draw is prepared, how draws become a batch, and how many make one."""

STRETCH = 32
"""Batches that are sorted by length together: enough for little padding, few enough for chance."""


def train(
    mllm: GroundedMLLM,
    examples: Sequence[Example],
    evidence: EvidenceSettings,
    settings: MllmTrainSettings,
    out_dir: Path,
    name: str = "mllm",
    held_out: Sequence[Example] = (),
    weights: Sequence[float] | None = None,
) -> list[dict[str, float]]:
    """Tune in place and return the log; continues from `out_dir` (see `training.fit`).

    Evidence is perturbed anew at every draw. Examples without a target teach nothing and are left out. `held_out`:
    validated on where the settings ask for it; the best weights are kept. `weights`: how often each example is drawn,
    in proportion; None: every one once an epoch.
    """
    if any(example.target is None for example in examples):
        known = [place for place, example in enumerate(examples) if example.target is not None]
        examples = [examples[place] for place in known]
        weights = weights and [weights[place] for place in known]

    def prepare(example: Example, rng: np.random.Generator) -> Prompt:
        return mllm.render(replace(example, evidence=perturb(example.evidence, evidence, rng)), evidence)

    drawn: Draws = (examples, prepare, mllm.collate, settings.train)
    if settings.group_by_length and len(examples):
        texts = [instruction_text(one, evidence) + (one.target or "") for one in examples]
        drawn, weights = grouped(*drawn, texts=texts, weights=weights), None  # its draws are whole batches
    validate = partial(validation, held_out, evidence, settings.train.batch_size) if held_out else None
    draws, prepare_draw, collate, plan = drawn
    with checkpointing(mllm) if settings.gradient_checkpointing else nullcontext():
        return fit(
            mllm,
            draws,
            prepare=prepare_draw,
            collate=collate,
            loss=answer_loss,
            settings=plan,
            out_dir=out_dir,
            weights=weights,
            validate=validate,
            name=name,
        )


def grouped(
    examples: Sequence[Example],
    prepare: Callable[[Example, np.random.Generator], Prompt],
    collate: Callable[[list[Prompt]], Batch],
    settings: TrainSettings,
    texts: Sequence[str],
    weights: Sequence[float] | None = None,
) -> Draws:
    """What `fit` is given so that one of its draws is a whole batch of examples with texts of like length."""
    batches = length_batches([len(text) for text in texts], settings, processes().num_processes, weights)
    return (
        [[examples[k] for k in batch] for batch in batches],
        lambda group, rng: [prepare(example, rng) for example in group],
        lambda groups: collate([prompt for group in groups for prompt in group]),
        settings.model_copy(update={"batch_size": 1}),
    )


def length_batches(
    lengths: Sequence[int], settings: TrainSettings, num_processes: int = 1, weights: Sequence[float] | None = None
) -> list[list[int]]:
    """Places of the examples in all batches of the training, of like length each; from the seed alone.

    Every epoch is shuffled, or drawn in proportion to the weights, cut into stretches of 32 batches, and sorted by
    length within each. `fit` draws the batches in an order of its own, so that their lengths come mixed.
    """
    size, rng = settings.batch_size, np.random.default_rng([settings.seed, 1])
    wanted = settings.steps * settings.gradient_accumulation * num_processes
    chances = None if weights is None else np.asarray(weights, np.float64) / sum(weights)
    batches: list[list[int]] = []
    rest: list[int] = []
    while len(batches) < wanted:
        drawn = rng.permutation(len(lengths)) if chances is None else rng.choice(len(lengths), len(lengths), p=chances)
        order = [*rest, *drawn.tolist()]
        whole = len(order) // size * size
        rest = order[whole:]
        for start in range(0, whole, STRETCH * size):
            stretch = sorted(order[start : min(whole, start + STRETCH * size)], key=lambda place: lengths[place])
            batches += [stretch[k : k + size] for k in range(0, len(stretch), size)]
    return batches[:wanted]


@contextmanager
def checkpointing(mllm: GroundedMLLM) -> Iterator[None]:
    """Gradient checkpointing inside; a hook of peft's that would let gradients into frozen layers stays away."""
    model = mllm.model.get_base_model()
    name = (
        "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    )  # transformers 5 renames it
    getattr(model, f"{name}_checkpointing_enable")({"use_reentrant": False})
    try:
        yield
    finally:
        getattr(model, f"{name}_checkpointing_disable")()


@torch.no_grad()
def validation(examples: Sequence[Example], evidence: EvidenceSettings, batch_size: int, mllm: Any) -> float:
    """Minus the mean loss of the answers, evidence as it is: more is better."""
    was_training = mllm.training
    mllm.eval()
    known = [example for example in examples if example.target is not None]
    total = 0.0
    for start in range(0, len(known), batch_size):
        part = known[start : start + batch_size]
        batch = mllm.collate([mllm.render(example, evidence) for example in part])
        total += len(part) * float(answer_loss(mllm, batch)["loss"])
    mllm.train(was_training)
    return -total / len(known)


def answer_loss(model: nn.Module, batch: Batch) -> Losses:
    """Cross-entropy of the answers' tokens, mean (weighted, where the batch says so) within each answer and then over
    the batch.

    So a report of forty tokens weighs as much as a short answer of three, not fourteen times as much. Logits are
    computed for these tokens alone.
    """
    labels_BK = batch["labels"]
    logits_NV = model(batch, only_labels=True)
    wanted_N = labels_BK[labels_BK != -100].to(logits_NV.device)
    losses_N = nn.functional.cross_entropy(logits_NV, wanted_N, reduction="none")
    return {
        "loss": per_example(losses_N, labels_BK, batch.get("weights")).mean(),
        "token_loss": losses_N.mean().detach(),
    }


def token_losses(logits_BKV: Tensor, labels_BK: Tensor) -> Tensor:
    """float32[B, K], zero where there is no label."""
    labels_BK = labels_BK.to(logits_BKV.device)
    return nn.functional.cross_entropy(logits_BKV.transpose(1, 2), labels_BK, ignore_index=-100, reduction="none")
