"""How familiar an image is: whether the image tower sees in it what it saw in training images, or nothing like them.

N training images, M validation images, B images asked about, F numbers that describe one, A principal axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry import Letterbox
from ..grounder import FAMILIAR

NUM_NEIGHBOURS = 5
NUM_AXES = 48
_QUANTILE = 0.95
"""Part of the validation images that count as familiar."""
_SHRINK = 0.3
"""Added to the spread along an axis, so that the faintest ones are not blown up."""
_LEAST_IMAGES = 8
_LEAST_SIDE_PX = 16
_STRIP = 5
"""Times as long as wide; the longest image of the sets that the shipped cores learned from is 2.7 times."""
_LEAST_CONTRAST = 8
"""Levels of 256 between the darkest and the brightest pixel."""


def describe(maps: Sequence[Tensor]) -> Tensor:
    """float32[B, F]: mean and standard deviation over the places of each channel; the finest map says too little."""
    flat = [map_BCHW.float().flatten(2) for map_BCHW in maps[1:]]
    return torch.cat([part for x in flat for part in (x.mean(2), x.std(2))], 1)


def shows_nothing(box: Letterbox, square: NDArray[np.uint8]) -> bool:
    """Whether an image is a few pixels, a strip, or of one brightness: the image tower has no opinion on such.

    `square`: uint8[S, S, 3], the image as the tower is given it.
    """
    short, long = sorted(box.size_px)
    width, height = box.content_px
    contrast = np.ptp(square[:height, :width].mean(2))
    return short < _LEAST_SIDE_PX or long > _STRIP * short or contrast < _LEAST_CONTRAST


@dataclass(frozen=True)
class Familiarity:
    """Two distances from the training images, each by its limit: to the nearest of them along the axes (in which an
    image may be odd), and off the axes (where no training image is). `axes_FA` are unit vectors, `spreads_A` the
    standard deviations along them, `bank_NA` the training images in these units.
    """

    mean_F: Tensor
    std_F: Tensor
    axes_FA: Tensor
    spreads_A: Tensor
    bank_NA: Tensor
    limits_2: Tensor

    def distances(self, described_BF: Tensor) -> Tensor:
        """float32[B, 2]: mean distance to the nearest training images, and length of what is off the axes."""
        scaled_BF, along_BA = self._along(described_BF)
        near_BK, _ = self._nearest(along_BA)
        return torch.stack([near_BK.mean(1), (scaled_BF - along_BA @ self.axes_FA.T).norm(dim=1)], 1)

    def neighbours(self, described_BF: Tensor) -> list[list[int]]:
        """Indices of the training images that are most like each image, the nearest first."""
        return self._nearest(self._along(described_BF)[1])[1].tolist()

    def _along(self, described_BF: Tensor) -> tuple[Tensor, Tensor]:
        scaled_BF = (described_BF.cpu().float() - self.mean_F) / self.std_F
        return scaled_BF, scaled_BF @ self.axes_FA

    def _nearest(self, along_BA: Tensor) -> tuple[Tensor, Tensor]:
        num = min(NUM_NEIGHBOURS, len(self.bank_NA))
        found = torch.cdist(along_BA / self.spreads_A, self.bank_NA).topk(num, largest=False)
        return found.values, found.indices

    def __call__(self, described_BF: Tensor) -> list[float]:
        """In [0, 1]: 1 for no distance at all, `FAMILIAR` where both together are at the limit."""
        ratios_B = (self.distances(described_BF) / self.limits_2).mean(1)
        return (FAMILIAR**ratios_B**2).tolist()


def fit_familiarity(train_NF: Tensor, validation_MF: Tensor) -> Familiarity | None:
    """What training images are like, and how far from them validation images are; None for fewer than 8 of either."""
    if min(len(train_NF), len(validation_MF)) < _LEAST_IMAGES:
        return None
    train_NF = train_NF.cpu().float()
    mean_F, std_F = train_NF.mean(0), train_NF.std(0) + 1e-6
    scaled_NF = (train_NF - mean_F) / std_F
    _, sizes, axes = torch.linalg.svd(scaled_NF, full_matrices=False)
    axes_FA = axes[:NUM_AXES].T.contiguous()
    spreads_A = sizes[:NUM_AXES] / len(train_NF) ** 0.5 + _SHRINK
    plain = Familiarity(mean_F, std_F, axes_FA, spreads_A, scaled_NF @ axes_FA / spreads_A, torch.ones(2))
    distances_M2 = plain.distances(validation_MF)
    limits_2 = distances_M2.quantile(_QUANTILE, dim=0).clamp(min=1e-6)
    # few images are odd in both ways at once: both limits shrink until 5 % are beyond them together
    limits_2 = limits_2 * (distances_M2 / limits_2).mean(1).quantile(_QUANTILE)
    return Familiarity(mean_F, std_F, axes_FA, spreads_A, plain.bank_NA, limits_2)
