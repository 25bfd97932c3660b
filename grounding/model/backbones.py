"""Backbones of the image tower: pixels to feature maps at strides 4, 8, 16 and 32, those of our own at stride 2 before
these. None has a norm that needs a batch.

Three kinds: a small residual network for training from scratch; inverted residuals whose norms are folded into their
convolutions (MobileNetV2, EfficientNet-Lite), for pretrained starts; any convolutional backbone of transformers.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoBackbone, AutoModel, PreTrainedConfig

STRIDES = (4, 8, 16, 32)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut; `stride` 2 halves the map."""

    def __init__(self, width_in: int, width: int, stride: int, num_groups: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(num_groups, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(num_groups, width)
        is_same = stride == 1 and width_in == width
        self.shortcut = nn.Identity() if is_same else nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """float[B, width, H/stride, W/stride]."""
        y_BCHW = self.norm1(self.conv1(x_BCHW)).relu()
        return (self.norm2(self.conv2(y_BCHW)) + self.shortcut(x_BCHW)).relu()


class ResidualBackbone(nn.Module):
    """A stem at stride 2 and four stages of residual blocks with GroupNorm."""

    def __init__(self, num_channels: int, widths: Sequence[int], depths: Sequence[int], num_groups: int):
        super().__init__()
        self.stem = nn.Conv2d(num_channels, widths[0], 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.GroupNorm(num_groups, widths[0])
        self.stages = nn.ModuleList()
        for (width_in, width), depth in zip(pairwise(widths), depths, strict=True):
            others = (ResidualBlock(width, width, 1, num_groups) for _ in range(depth - 1))
            self.stages.append(nn.Sequential(ResidualBlock(width_in, width, 2, num_groups), *others))

    def forward(self, pixels_BCHW: Tensor) -> list[Tensor]:
        """float[B, C_s, H/s, W/s] for s = 2, 4, 8, 16, 32."""
        x_BCHW = self.stem_norm(self.stem(pixels_BCHW)).relu()
        maps = [x_BCHW]
        for stage in self.stages:
            x_BCHW = stage(x_BCHW)
            maps.append(x_BCHW)
        return maps


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project (Sandler et al., MobileNetV2, CVPR 2018); norms are folded away."""

    def __init__(self, expansion: int, width_in: int, width: int, stride: int, kernel: int):
        super().__init__()
        inner = expansion * width_in
        self.expand = nn.Conv2d(width_in, inner, 1) if expansion > 1 else nn.Identity()
        self.filter = nn.Conv2d(inner, inner, kernel, stride, padding=kernel // 2, groups=inner)
        self.project = nn.Conv2d(inner, width, 1)
        self.is_expanded, self.is_residual = expansion > 1, stride == 1 and width_in == width

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """float[B, width, H/stride, W/stride]."""
        y_BCHW = nn.functional.relu6(self.expand(x_BCHW)) if self.is_expanded else x_BCHW
        y_BCHW = self.project(nn.functional.relu6(self.filter(y_BCHW)))
        return x_BCHW + y_BCHW if self.is_residual else y_BCHW


class InvertedBackbone(nn.Module):
    """A stem at stride 2 and rows (expansion, width, blocks, stride, kernel) of inverted residuals."""

    def __init__(self, num_channels: int, stem_width: int, rows: Sequence[Sequence[int]]):
        super().__init__()
        self.stem = nn.Conv2d(num_channels, stem_width, 3, stride=2, padding=1)
        self.rows = nn.ModuleList()
        width_in = stem_width
        for expansion, width, num_blocks, stride, kernel in rows:
            first = InvertedResidual(expansion, width_in, width, stride, kernel)
            others = (InvertedResidual(expansion, width, width, 1, kernel) for _ in range(num_blocks - 1))
            self.rows.append(nn.Sequential(first, *others))
            width_in = width
        self.ends = (rows_at_half(rows) - 1, *ends_of_strides([row[3] for row in rows]))

    def forward(self, pixels_BCHW: Tensor) -> list[Tensor]:
        """float[B, C_s, H/s, W/s] for s = 2, 4, 8, 16, 32: the last row of each stride."""
        x_BCHW = nn.functional.relu6(self.stem(pixels_BCHW))
        maps = [x_BCHW] if -1 in self.ends else []  # no row at stride 2: the stem ends it
        for index, row in enumerate(self.rows):
            x_BCHW = row(x_BCHW)
            if index in self.ends:
                maps.append(x_BCHW)
        return maps


def ends_of_strides(strides: Sequence[int]) -> tuple[int, ...]:
    """Indices of the last rows at strides 4, 8, 16, 32, after a stem at stride 2."""
    # strides 1 2 2 2 1 2 1 of MobileNetV2 are 2 4 8 16 16 32 32 in all: rows 1, 2, 4 and 6 end a stride
    totals = [2 * math.prod(strides[: i + 1]) for i in range(len(strides))]
    return tuple(max(i for i, total in enumerate(totals) if total == stride) for stride in STRIDES)


def rows_at_half(rows: Sequence[Sequence[int]]) -> int:
    """Number of rows before the first one with a stride: they stay at the stem's stride 2."""
    return next(index for index, row in enumerate(rows) if row[3] > 1)


class TransformersBackbone(nn.Module):
    """A convolutional model of transformers, by `AutoBackbone` or by its hidden states; its norms are folded."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.model = make_transformers_model(config)
        fold_norms(self.model)

    def forward(self, pixels_BCHW: Tensor) -> list[Tensor]:
        """float[B, C_s, H/s, W/s] for s = 4, 8, 16, 32."""
        return maps_of(self.model, pixels_BCHW)


def make_transformers_model(config: PreTrainedConfig) -> nn.Module:
    """The model without weights: a backbone with all its stages where there is one, else the plain model."""
    try:
        return AutoBackbone.from_config(config, trust_remote_code=False)
    except ValueError:  # no backbone class for this architecture
        return AutoModel.from_config(config, trust_remote_code=False)


def maps_of(model: nn.Module, pixels_BCHW: Tensor) -> list[Tensor]:
    """The last map at each stride. Raises `ValueError` where one is missing, as in a plain vision transformer."""
    hidden = model(pixels_BCHW, output_hidden_states=True).hidden_states
    by_stride = {pixels_BCHW.shape[-1] // x.shape[-1]: x for x in hidden if x.ndim == 4}
    missing = [stride for stride in STRIDES if stride not in by_stride]
    if missing:
        raise ValueError(f"{type(model).__name__} has no feature maps at strides {missing}; use a convolutional one")
    return [by_stride[stride] for stride in STRIDES]


@torch.no_grad()
def fold_norms(module: nn.Module) -> None:
    """Put every BatchNorm2d into the convolution registered right before it: the same maps as in eval mode."""
    # in eval mode a norm is a gain and a bias a channel, which the convolution can take over
    before: tuple[nn.Module, str, nn.Conv2d] | None = None
    for parent in module.modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                before = (parent, name, child)
            elif isinstance(child, nn.BatchNorm2d) and before is not None:
                setattr(before[0], before[1], nn.utils.fuse_conv_bn_eval(before[2].eval(), child.eval()))
                setattr(parent, name, nn.Identity())
                before = None


def make_backbone(config: Any) -> nn.Module:
    """The backbone that a `MedGlipVisionConfig` describes."""
    if config.backbone_config is not None:
        return TransformersBackbone(config.backbone_config)
    widths = [*config.stage_widths, config.hidden_size]
    if config.rows is not None:
        return InvertedBackbone(config.num_channels, widths[0], config.rows)
    return ResidualBackbone(config.num_channels, widths, config.depths, config.num_groups)
