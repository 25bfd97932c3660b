"""Training of the grounded MLLM: LoRA, picture projector and region projector learn to write the target.

B batch, K answer tokens, V vocabulary.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from ...grounding.evidence import EvidenceSettings, perturb
from ...grounding.settings import Settings
from ...grounding.training import Losses, TrainSettings, fit
from .batch import Batch
from .model import GroundedMLLM
from .prompt import Example, Prompt


class MllmTrainSettings(Settings):
    """How the language model is tuned."""

    train: TrainSettings = TrainSettings(steps=80, batch_size=8, learning_rate=1e-3, warmup_steps=8, clip_norm=1.0)
    """Steps, batches and rates of the one training loop."""


def train(
    mllm: GroundedMLLM,
    examples: Sequence[Example],
    evidence: EvidenceSettings,
    settings: MllmTrainSettings,
    out_dir: Path,
    name: str = "mllm",
) -> list[dict[str, float]]:
    """Tune in place and return the log; continues from `out_dir` (see `training.fit`).

    Evidence is perturbed anew at every draw. Examples without a target teach nothing and are left out.
    """

    def prepare(example: Example, rng: np.random.Generator) -> Prompt:
        noisy = perturb(example.evidence, evidence, rng)
        return mllm.render(Example(**{**vars(example), "evidence": noisy}), evidence)

    if any(example.target is None for example in examples):
        examples = [example for example in examples if example.target is not None]
    return fit(
        mllm,
        examples,
        prepare=prepare,
        collate=mllm.collate,
        loss=answer_loss,
        settings=settings.train,
        out_dir=out_dir,
        name=name,
    )


def answer_loss(model: nn.Module, batch: Batch) -> Losses:
    """Cross-entropy of the answers' tokens, mean within each answer and then over the batch.

    So a report of forty tokens weighs as much as a short answer of three, not fourteen times as much.
    """
    losses_BK = token_losses(model(batch), batch["labels"])
    is_answer_BK = batch["labels"].to(losses_BK.device) != -100
    per_example_B = losses_BK.sum(1) / is_answer_BK.sum(1).clamp(min=1)
    return {"loss": per_example_B.mean(), "token_loss": losses_BK.sum().detach() / is_answer_BK.sum()}


def token_losses(logits_BKV: Tensor, labels_BK: Tensor) -> Tensor:
    """float32[B, K], zero where there is no label."""
    labels_BK = labels_BK.to(logits_BKV.device)
    return nn.functional.cross_entropy(logits_BKV.transpose(1, 2), labels_BK, ignore_index=-100, reduction="none")
