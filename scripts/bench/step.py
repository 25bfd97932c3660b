"""How long one training step of the core takes, part by part, and how near that comes to what the machine can do.

python -m medglip.scripts.bench.step --threads 2
"""

from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from ...grounding.model.losses import Target, detection_losses
from ...grounding.model.processing import MedGlipProcessor, train_tokenizer
from ...grounding.training.core import build
from ...grounding.training.settings import GroundingSettings
from .timing import Threads, fastest

PHRASES = ["left lung", "right lung", "heart", "nodule", "opacity"]


def four_boxes(side_px: int, num_phrases: int) -> Target:
    """Four boxes with masks, of the first four phrases: the truth of images of noise."""
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.7], [0.5, 0.1, 0.9, 0.7], [0.4, 0.5, 0.6, 0.7], [0.2, 0.2, 0.3, 0.3]])
    masks, known = torch.ones(4, side_px // 4, side_px // 4), torch.ones(num_phrases) > 0
    return Target(boxes * side_px, torch.eye(4, num_phrases) > 0, masks, torch.ones(4) > 0, known)


def main(
    threads: Threads = 2,
    times: Annotated[int, typer.Option(help="steps timed; the fastest counts")] = 5,
) -> None:
    """Print seconds of forward, loss, backward and optimizer, and the part of the machine's matmul speed in use."""
    torch.set_num_threads(threads)
    settings = GroundingSettings()
    side, size = settings.model.image_size, settings.train.batch_size
    processor = MedGlipProcessor(train_tokenizer(PHRASES), side)
    model = build(settings, len(processor.tokenizer)).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    # noise with four boxes per image: the cost of a step does not depend on what is seen
    squares = list(np.random.default_rng(0).integers(0, 256, (size, side, side, 3), np.uint8))
    inputs = processor(squares, [PHRASES] * size, ["xray"] * size)
    targets = [four_boxes(side, len(PHRASES)) for _ in range(size)]

    def forward() -> Any:
        return model(**inputs)

    def losses() -> torch.Tensor:
        return detection_losses(forward(), targets, inputs["attention_mask"])["loss"]

    def step() -> None:
        losses().backward()
        optimizer.step()
        optimizer.zero_grad()

    with FlopCounterMode(display=False) as counter:
        losses().backward()
    gflop = counter.get_total_flops() / 1e9
    seconds = [fastest(times, work) for work in (forward, losses, lambda: losses().backward(), step)]
    # each work holds the one before it: forward, + loss, + backward, + optimizer; differences are the parts
    parts = np.diff([0.0, *seconds])
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, batch {size},")
    print(f"{side} px, {threads} threads: {seconds[-1]:.3f} s a step, {gflop:.1f} GFLOP")
    for name, part in zip(("forward", "loss", "backward", "optimizer"), parts, strict=True):
        print(f"  {name:10}{part:8.3f} s")
    a, b = torch.randn(2, 1024, 1024).unbind()
    peak = 2 * 1024**3 / fastest(5, lambda: a @ b) / 1e9  # what the matrix product reaches here in float32
    print(f"  {gflop / seconds[-1]:.0f} GFLOP/s, {100 * gflop / seconds[-1] / peak:.0f} % of the matmul's {peak:.0f}")


if __name__ == "__main__":
    typer.run(main)
