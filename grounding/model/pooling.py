"""What the image tower's maps hold inside regions: one vector a stride, standardised over the training images.

R regions, C channels of a map, H W its height and width, S side of the square input; maps are finest first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..geometry import Letterbox
from ..types import Region
from .backbones import STRIDES


@dataclass(frozen=True)
class MapScales:
    """Mean and standard deviation of each channel over images and places, float32[C] a stride: without them a stride
    of large values would drown the others.
    """

    means: tuple[Tensor, ...]
    stds: tuple[Tensor, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stride."""
        return tuple(len(mean_C) for mean_C in self.means)

    def pool(self, maps: Sequence[Tensor], weights_RHW: Tensor) -> tuple[Tensor, ...]:
        """float32[R, C] a stride: means of one image's maps float[C, H, W], weighted by `region_weights`."""
        pooled = []
        for index, (map_CHW, mean_C, std_C) in enumerate(zip(maps, self.means, self.stds, strict=True)):
            if index:  # the next map has half the height and width
                weights_RHW = F.avg_pool2d(weights_RHW[:, None], 2)[:, 0]
            weights_RP = weights_RHW.flatten(1)
            sums_RC = weights_RP @ map_CHW.float().flatten(1).T
            means_RC = sums_RC / weights_RP.sum(1, keepdim=True).clamp(min=1e-12)
            pooled.append((means_RC - mean_C.to(means_RC)) / std_C.to(means_RC))
        return tuple(pooled)


def fit_scales(batches: Iterable[Sequence[Tensor]]) -> MapScales:
    """The scales of the maps float[B, C, H, W] of all batches; needs one at least."""
    sums: list[Tensor] = []
    for maps in batches:
        # of each channel: number of places, sum, sum of squares; in double, as sums of millions are subtracted
        flat = [map_BCHW.double().transpose(0, 1).flatten(1) for map_BCHW in maps]
        parts = [torch.stack([torch.full_like(x[:, 0], x.shape[1]), x.sum(1), (x**2).sum(1)]) for x in flat]
        sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
    means = [total / num for num, total, _ in sums]
    spreads = [
        (squares / num - mean**2).clamp(min=0).sqrt() for (num, _, squares), mean in zip(sums, means, strict=True)
    ]
    return MapScales(
        tuple(mean.float().cpu() for mean in means), tuple(std.clamp(min=1e-3).float().cpu() for std in spreads)
    )


def region_weights(regions: Sequence[Region], letterbox: Letterbox) -> NDArray[np.float32]:
    """float32[R, S/4, S/4]: the part of each cell of the finest map that a region covers, by its mask or its box."""
    side = letterbox.side_px // STRIDES[0]
    edges = np.arange(side, dtype=np.float32)
    boxes_R4 = letterbox.forward(np.array([r.box_xyxy_px for r in regions], np.float32).reshape(-1, 4)) / STRIDES[0]
    # along each axis the covered part of every cell; a box covers the product:  0 .5 1 1 .2 0
    starts, ends = (boxes_R4[:, axis, None] for axis in (slice(0, 2), slice(2, 4)))
    covered_RAs = np.clip(np.minimum(ends.mT, edges[:, None] + 1) - np.maximum(starts.mT, edges[:, None]), 0, 1)
    weights_Rss = covered_RAs[..., 1][:, :, None] * covered_RAs[..., 0][:, None, :]
    for weights_ss, region in zip(weights_Rss, regions, strict=True):
        if region.mask is not None and (mask_SS := letterbox.mask(region.mask)).any():
            weights_ss[:] = mask_SS.reshape(side, STRIDES[0], side, STRIDES[0]).mean((1, 3))
    return weights_Rss
