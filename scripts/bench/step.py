"""How long one training step of the core takes, part by part, and how near that comes to what the machine can do.

python -m medglip.scripts.bench.step --threads 2
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from ...grounding.model.losses import Target, losses_of
from ...grounding.model.processing import MedGlipProcessor, train_tokenizer
from ...grounding.training.core import build
from ...grounding.training.examples import Draw
from ...grounding.training.settings import GroundingSettings
from .timing import Threads, fastest

PHRASES = ["left lung", "right lung", "heart", "nodule", "opacity"]


@dataclass(frozen=True)
class Pass:
    """A model in training and its batch of noise: the cost of a step does not depend on what is seen."""

    model: Any
    batch: dict[str, Any]
    losses: Callable[[Any, Any], Mapping[str, torch.Tensor]]

    def forward(self) -> Any:
        """What the model says of the batch, which it is given without the truth."""
        return self.model(**{key: value for key, value in self.batch.items() if key not in ("targets", "labels")})

    def loss(self) -> torch.Tensor:
        """The loss after a forward pass."""
        return self.losses(self.model, self.batch)["loss"]


def noise_draws(side_px: int, num: int, phrases: list[str]) -> list[Draw]:
    """Images of noise with four boxes and their masks, one for each of the first four phrases."""
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.7], [0.5, 0.1, 0.9, 0.7], [0.4, 0.5, 0.6, 0.7], [0.2, 0.2, 0.3, 0.3]])
    masks, known = torch.ones(4, side_px // 4, side_px // 4), torch.ones(len(phrases)) > 0
    labels = torch.eye(4, len(phrases)) > 0
    truth = Target(boxes * side_px, labels, masks, torch.ones(4) > 0, known, torch.zeros_like(labels), labels.any(0))
    squares = np.random.default_rng(0).integers(0, 256, (num, side_px, side_px, 3), np.uint8)
    return [Draw(square, phrases, phrases, "xray", truth, frozenset(phrases)) for square in squares]


def core_pass(settings: GroundingSettings, num: int, phrases: list[str]) -> Pass:
    """An untrained core and `num` images of noise."""
    side_px = settings.model.image_size
    draws, processor = noise_draws(side_px, num, phrases), MedGlipProcessor(train_tokenizer(phrases), side_px)
    inputs = processor([d.square for d in draws], [d.phrases for d in draws], [d.modality for d in draws])
    model = build(settings, len(processor.tokenizer)).train()
    return Pass(model, {**inputs, "targets": [d.target for d in draws]}, losses_of)


def main(
    threads: Threads = 2,
    times: Annotated[int, typer.Option(help="steps timed; the fastest counts")] = 5,
) -> None:
    """Print seconds of forward, loss, backward and optimizer, and the part of the machine's matmul speed in use."""
    torch.set_num_threads(threads)
    settings = GroundingSettings()
    side, size = settings.model.image_size, settings.train.batch_size
    timed = core_pass(settings, size, PHRASES)
    optimizer = torch.optim.AdamW(timed.model.parameters(), fused=True)

    def step() -> None:
        timed.loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    with FlopCounterMode(display=False) as counter:
        timed.loss().backward()
    gflop = counter.get_total_flops() / 1e9
    seconds = [fastest(times, work) for work in (timed.forward, timed.loss, lambda: timed.loss().backward(), step)]
    # each work holds the one before it: forward, + loss, + backward, + optimizer; differences are the parts
    parts = np.diff([0.0, *seconds])
    print(f"{sum(p.numel() for p in timed.model.parameters()) / 1e6:.2f} M parameters, batch {size},")
    print(f"{side} px, {threads} threads: {seconds[-1]:.3f} s a step, {gflop:.1f} GFLOP")
    for name, part in zip(("forward", "loss", "backward", "optimizer"), parts, strict=True):
        print(f"  {name:10}{part:8.3f} s")
    a, b = torch.randn(2, 1024, 1024).unbind()
    peak = 2 * 1024**3 / fastest(5, lambda: a @ b) / 1e9  # what the matrix product reaches here in float32
    print(f"  {gflop / seconds[-1]:.0f} GFLOP/s, {100 * gflop / seconds[-1] / peak:.0f} % of the matmul's {peak:.0f}")


if __name__ == "__main__":
    typer.run(main)
