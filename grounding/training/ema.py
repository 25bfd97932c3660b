"""An exponential moving average of trained weights: smoother than the last step, and what is kept of a training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Averages of the trained parameters of a model; `decay` 0 switches it off, and the weights are their own average.

    The decay grows from 0.1 to `decay` in the first steps, so that the random start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in trained(model).items()} if decay else {}

    def to(self, device: torch.device) -> None:
        """Move the averages to where the model is trained."""
        self.weights = {name: weight.to(device) for name, weight in self.weights.items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step number `step`, from 1."""
        if self.weights:
            mine = trained(model)
            decay = min(self.decay, step / (9 + step))
            torch._foreach_lerp_(list(self.weights.values()), [mine[name].detach() for name in self.weights], 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Make the averages the model's weights."""
        mine = trained(model)
        for name, average in self.weights.items():
            mine[name].copy_(average)

    @contextmanager
    def used_by(self, model: nn.Module) -> Iterator[None]:
        """The model with averaged weights, in eval mode; afterwards everything is as before."""
        kept = {name: p.detach().clone() for name, p in trained(model).items()} if self.weights else {}
        was_training = model.training
        self.copy_to(model)
        model.eval()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in trained(model).items():
                    if name in kept:
                        parameter.copy_(kept[name])
            model.train(was_training)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Go on from averages on disk."""
        for name in self.weights:
            self.weights[name].copy_(weights[name])


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require gradients, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
