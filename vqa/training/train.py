"""Training of the grounded MLLM: LoRA, picture projector and region projector learn to write the target.

B batch, K answer tokens, V vocabulary.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...grounding.bad_input import BadInput
from ...grounding.evidence.evidence import EvidenceSettings, drop_forms, perturb
from ...grounding.training.loop import Losses, Validate, fit, processes
from ..model.grounded_mllm import GroundedMLLM
from ..model.speed import per_answer
from ..prompt.batch import Batch
from ..prompt.prompt import Example, Prompt
from .batches import batches_of, beginning_of
from .settings import MllmTrainSettings


def train(
    mllm: GroundedMLLM,
    examples: Sequence[Example],
    evidence: EvidenceSettings,
    settings: MllmTrainSettings,
    out_dir: Path,
    name: str = "mllm",
    held_out: Sequence[Example] = (),
    weights: Sequence[float] | None = None,
    validate: Validate | None = None,
) -> list[dict[str, float]]:
    """Tune in place and return the log; continues from `out_dir` (see `training.fit`).

    Evidence is perturbed anew at every draw, and now and then the context is left out. Examples without a target teach
    nothing and are left out. `held_out`: validated on where the settings ask for it, by their loss or by `validate`;
    the best weights are kept. `weights`: how often each example is drawn, in proportion; None: every one once an epoch.
    """
    if any(example.target is None for example in examples):
        indices = [index for index, example in enumerate(examples) if example.target is not None]
        examples = [examples[index] for index in indices]
        weights = weights and [weights[index] for index in indices]

    def prepare(example: Example, rng: np.random.Generator, shown: EvidenceSettings | None = None) -> Prompt:
        context = "" if rng.random() < evidence.context_dropout else example.context
        changed = replace(example, context=context, evidence=perturb(example.evidence, evidence, rng))
        return mllm.render(changed, example.shown or shown or drop_forms(evidence, rng))

    def prepare_batch(group: Sequence[Example], rng: np.random.Generator) -> list[Prompt]:
        shown = drop_forms(evidence, rng)  # the same for all: text and crops are longer than any question
        if not settings.by_image:
            return [prepare(example, rng, shown) for example in group]
        # what is the same before it is perturbed is so afterwards, or there would be nothing to share
        seeds: dict[Hashable, int] = {}
        keys = [beginning_of(example, evidence) for example in group]
        draws = [np.random.default_rng(seeds.setdefault(key, int(rng.integers(2**63)))) for key in keys]
        return [prepare(example, own, shown) for example, own in zip(group, draws, strict=True)]

    # what `fit` draws from, how a draw becomes a prompt (or prompts), and how draws become a batch
    draws: Sequence[Any] = examples
    prepare_draw: Callable[..., Any] = prepare
    collate: Callable[..., Batch] = mllm.collate
    rates = settings.train
    if settings.by_image and mllm.letterbox_px is None:
        raise BadInput("this base cannot share the tokens of an image.", fix="leave mllm_train.by_image out")
    if (settings.group_by_length or settings.by_image) and len(examples):  # one draw is a whole batch
        batches = batches_of(examples, evidence, settings, processes().num_processes, weights)
        draws = [[examples[index] for index in batch] for batch in batches]
        prepare_draw = prepare_batch
        collate = lambda groups: mllm.collate(list(chain(*groups)), settings.by_image)  # noqa: E731
        rates, weights = rates.model_copy(update={"batch_size": 1}), None  # the batches are drawn by weight already
    by_loss = partial(validation, held_out, evidence, settings.train.batch_size)
    with use_checkpointing(mllm) if settings.gradient_checkpointing else nullcontext():
        return fit(
            mllm,
            draws,
            prepare=prepare_draw,
            collate=collate,
            loss=answer_loss,
            settings=rates,
            out_dir=out_dir,
            weights=weights,
            validate=validate if validate or not held_out else by_loss,
            name=name,
        )


@contextmanager
def use_checkpointing(mllm: GroundedMLLM) -> Iterator[None]:
    """Gradient checkpointing inside; a hook of peft's that would let gradients into frozen layers stays away."""
    model = mllm.model.get_base_model()
    # transformers 5 renames gradient_... to activation_checkpointing_enable
    name = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    getattr(model, f"{name}_checkpointing_enable")({"use_reentrant": False})
    try:
        yield
    finally:
        getattr(model, f"{name}_checkpointing_disable")()


@contextmanager
def train_only(mllm: nn.Module, is_chosen: Callable[[str], bool]) -> Iterator[None]:
    """Inside, of the parameters that are trained otherwise, only those with chosen names are."""
    trained = {name: parameter for name, parameter in mllm.named_parameters() if parameter.requires_grad}
    for name, parameter in trained.items():
        parameter.requires_grad_(is_chosen(name))
    try:
        yield
    finally:
        for parameter in trained.values():
            parameter.requires_grad_(True)


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
    loss = per_answer(losses_N, labels_BK, batch.get("weights"), batch.get("answers")).mean()
    return {"loss": loss, "token_loss": losses_N.mean().detach()}


def token_losses(logits_BKV: Tensor, labels_BK: Tensor) -> Tensor:
    """float32[B, K], zero where there is no label."""
    labels_BK = labels_BK.to(logits_BKV.device)
    return nn.functional.cross_entropy(logits_BKV.transpose(1, 2), labels_BK, ignore_index=-100, reduction="none")
