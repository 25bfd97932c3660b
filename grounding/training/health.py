"""Health of the image tower: a stage that dies in training is not mended by more of it, so the training stops.

A stage dies where large steps push its units below 0 or above 6 for every image: no gradient, and nothing recentres.
B images, C channels, S side of the square input in pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..bad_input import BadInput
from ..imaging.read import read_image
from ..model.backbones import STRIDES, InvertedResidual
from ..model.processing import MedGlipProcessor, normalise
from ..types import AnnotatedImage

MAX_IMAGES = 16
_LEAST_SPREAD, _MOST_DEAD = 0.4, 0.25


@dataclass(frozen=True)
class Health:
    """One stride. `spread`: deviation over images and places in parts of the mean size; `dead`: the largest share in a
    layer of units that no image moves; `rank`: how many directions its channels span, in [1, C].

    Healthy towers have a spread of .9 to 1.4 and at most .05 dead; cores that lost stride 32 had .33 and .42, or worse.
    """

    spread: float
    dead: float
    rank: float

    @property
    def is_dying(self) -> bool:
        """Too flat or too dead to recover."""
        return self.spread < _LEAST_SPREAD or self.dead > _MOST_DEAD


@torch.no_grad()
def health(tower: nn.Module, pixels_B3SS: Tensor) -> dict[int, Health]:
    """Health of an image tower at each stride; `dead` is 0 where it has no inverted residuals."""
    dead: dict[int, float] = dict.fromkeys(STRIDES, 0.0)

    def note(_layer: nn.Module, _inputs: Any, out_BCHW: Tensor) -> None:
        # ReLU6 follows: a unit that is never between 0 and 6 is constant, or has no gradient where it is not
        is_constant_C = (out_BCHW.amax((0, 2, 3)) <= 0) | (out_BCHW.amin((0, 2, 3)) >= 6)
        stride = pixels_B3SS.shape[-1] // out_BCHW.shape[-1]
        # layers of strides 2 and 4 have units of ImageNet that no medical image moves
        if stride > STRIDES[0]:
            dead[stride] = max(dead[stride], float(is_constant_C.float().mean()))

    blocks = [module for module in tower.modules() if isinstance(module, InvertedResidual)]
    layers = [conv for block in blocks for conv in (block.expand, block.filter) if isinstance(conv, nn.Conv2d)]
    hooks, was_training = [layer.register_forward_hook(note) for layer in layers], tower.training
    try:
        maps = tower.eval()(pixels_B3SS).feature_maps
    finally:
        tower.train(was_training)
        for hook in hooks:
            hook.remove()
    return {stride: Health(_spread(x), dead[stride], _rank(x)) for stride, x in zip(STRIDES, maps, strict=True)}


def _spread(map_BCHW: Tensor) -> float:
    return float(map_BCHW.float().std((0, 2, 3)).mean() / map_BCHW.float().abs().mean().clamp(min=1e-12))


def _rank(map_BCHW: Tensor) -> float:
    """Effective rank: e to the entropy of the eigenvalues of the channels' correlations."""
    values_CP = map_BCHW.float().transpose(0, 1).flatten(1)
    centred_CP = values_CP - values_CP.mean(1, keepdim=True)
    unit_CP = centred_CP / (values_CP.std(1, keepdim=True) + 1e-6 * values_CP.abs().mean() + 1e-12)
    eigenvalues_C = torch.linalg.eigvalsh(unit_CP @ unit_CP.T).clamp(min=1e-12)
    share_C = eigenvalues_C / eigenvalues_C.sum()
    return float((-(share_C * share_C.log()).sum()).exp())


def sample_pixels(images: Sequence[AnnotatedImage], processor: MedGlipProcessor) -> Tensor | None:
    """float32[B, 3, S, S] of at most 16 images, evenly from first to last, so of many sets; None below two."""
    indices = (
        np.unique(np.linspace(0, len(images) - 1, min(MAX_IMAGES, len(images))).astype(int)) if len(images) else ()
    )
    squares = []
    for index in indices:
        try:
            squares.append(processor.letterbox(read_image(images[int(index)].image_path)))
        except BadInput:
            continue
    return normalise(np.stack(squares)) if len(squares) > 1 else None


def make_watch(pixels_B3SS: Tensor) -> Callable[[Any, int], dict[str, float]]:
    """What `fit` watches of a core: health on these pixels for the log, as `spread_32`, `dead_32`, `rank_32` ...

    Raises `BadInput` with stride and step where one is dying.
    """

    def watch(model: Any, step: int) -> dict[str, float]:
        now = health(model.image_tower, pixels_B3SS.to(model.device))
        for stride, one in now.items():
            if one.is_dying:
                raise BadInput(
                    f"stride {stride} of the image tower is dying at step {step}: spread {one.spread:.2f}, "
                    f"{one.dead:.0%} of the units of a layer are constant.",
                    fix="lower train.tower_rate, 0.1 for a pretrained tower, and begin anew in another out_dir",
                )
        return {f"{key}_{stride}": value for stride, one in now.items() for key, value in asdict(one).items()}

    return watch
