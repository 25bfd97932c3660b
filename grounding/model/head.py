"""The dense head, shared by the levels: each point has an embedding to compare with phrases, a box, a mask.

B batch, D width, H W of a level, N points of all levels, K phrases, M mask prototypes, h w their height and width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .fusion import coordinates

STRIDES = (8, 16, 32)
"""Pixels between the points of P3, P4, P5."""
NUM_GROUPS = 8
"""Of every GroupNorm."""


class Tower(nn.Module):
    """3 x 3 convolutions that also see where they are."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(width + (0 if i else 2), width, 3, padding=1, bias=False) for i in range(depth)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(NUM_GROUPS, width) for _ in range(depth))

    def forward(self, x_BDHW: Tensor) -> Tensor:
        """Of the input's shape."""
        place = coordinates(x_BDHW).permute(2, 0, 1).expand(len(x_BDHW), -1, -1, -1)
        x_BDHW = torch.cat([x_BDHW, place], 1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x_BDHW = norm(conv(x_BDHW)).relu()
        return x_BDHW


class ZeroConv(nn.Conv2d):
    """The last convolution of a path that is added to another; zero, thus no change, before training."""


class HalfPrototypes(nn.Module):
    """Prototypes at stride 2: those at stride 4 upsampled, their edges moved to what the image tower sees there."""

    def __init__(self, width_half: int, num_prototypes: int):
        super().__init__()
        self.context = nn.Conv2d(num_prototypes, num_prototypes, 1)
        self.lateral = nn.Conv2d(width_half, num_prototypes, 1, bias=False)
        self.refine = ZeroConv(num_prototypes, num_prototypes, 3, padding=1)

    def forward(self, prototypes_BMhw: Tensor, half_BCHW: Tensor) -> Tensor:
        """float[B, M, H, W] of prototypes at stride 4 and the image tower's map at stride 2, H = 2h."""
        prototypes_BMHW = F.interpolate(prototypes_BMhw, scale_factor=2.0, mode="bilinear")
        # channels of so early a map lie far from 0, each elsewhere: without their means the first step would clip them
        half_BCHW = half_BCHW - half_BCHW.mean((2, 3), keepdim=True)
        hidden_BMHW = (self.context(prototypes_BMHW) + self.lateral(half_BCHW)).relu()
        return prototypes_BMHW + self.refine(hidden_BMHW)


class DenseHead(nn.Module):
    """Points of P3 to P5, level by level, row by row."""

    def __init__(self, width: int, depth: int, num_prototypes: int, width_fine: int = 0, width_half: int = 0):
        super().__init__()
        self.phrase_tower, self.box_tower = (Tower(width, depth) for _ in range(2))
        self.embed = nn.Conv2d(width, width, 1)
        self.predict = nn.Conv2d(width, 4 + 1 + num_prototypes, 1)  # left top right bottom, centreness, coefficients
        self.level_scale = nn.Parameter(torch.ones(len(STRIDES)))
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-4.6))  # sigmoid: a prior of about 0.01
        self.prototypes = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, padding=1, bias=False),
            nn.GroupNorm(NUM_GROUPS, width // 2),
            nn.ReLU(),
            nn.Upsample(scale_factor=2.0, mode="bilinear"),
            nn.Conv2d(width // 2, num_prototypes, 3, padding=1),
        )
        self.fine = ZeroConv(width_fine, width // 2, 1) if width_fine else None
        self.finer = HalfPrototypes(width_half, num_prototypes) if width_half else None

    def forward(
        self, levels: list[Tensor], fine_BCHW: Tensor, half_BCHW: Tensor | None, phrases_BKD: Tensor
    ) -> dict[str, Tensor]:
        """Logits, boxes, centreness, coefficients, embeddings (unit length), prototypes: see `MedGlipOutput`.

        `levels`: P3 to P5; `fine_BCHW`, `half_BCHW`: the image tower's maps at strides 4 and 2, for prototypes that
        read them.
        """
        embeddings, predictions, boxes = [], [], []
        for i, (x_BDHW, stride) in enumerate(zip(levels, STRIDES, strict=True)):
            embeddings.append(self.embed(self.phrase_tower(x_BDHW)).flatten(2).transpose(1, 2))
            prediction_BNP = self.predict(self.box_tower(x_BDHW)).flatten(2).transpose(1, 2).float()
            # distances from the point to left, top, right, bottom; never negative, so no box is turned inside out
            sides_BN4 = F.softplus(self.level_scale[i] * prediction_BNP[..., :4]) * stride
            points_N2 = grid_points(x_BDHW.shape[2:], stride, x_BDHW.device)
            boxes.append(torch.cat([points_N2 - sides_BN4[..., :2], points_N2 + sides_BN4[..., 2:]], -1))
            predictions.append(prediction_BNP)
        prediction_BNP = torch.cat(predictions, 1)
        embeddings_BND = F.normalize(torch.cat(embeddings, 1).float(), dim=-1)
        cosine_BNK = embeddings_BND @ F.normalize(phrases_BKD.float(), dim=-1).transpose(1, 2)
        # P3 at stride 8, upsampled to 4, where the image tower's own map is added before the last convolution
        features_BCHW = self.prototypes[:-1](levels[0])
        if self.fine is not None:
            features_BCHW = features_BCHW + self.fine(fine_BCHW)
        prototypes_BMhw = self.prototypes[-1](features_BCHW)
        if self.finer is not None:
            assert half_BCHW is not None  # `MedGlipConfig` refuses towers without this map
            prototypes_BMhw = self.finer(prototypes_BMhw, half_BCHW)
        return {
            "logits": cosine_BNK * self.log_scale.exp() + self.bias,
            "boxes": torch.cat(boxes, 1),
            "centreness": prediction_BNP[..., 4],
            "coefficients": prediction_BNP[..., 5:],
            "embeddings": embeddings_BND,
            "prototypes": prototypes_BMhw.float(),
        }


class ZeroLinear(nn.Linear):
    """As `ZeroConv`."""


class PresenceLook(nn.Module):
    """A second look at the image for presence: at the tokens of P4 and P5 that the phrase attends to, and at its
    three best points; nothing before training.
    """

    def __init__(self, width: int):
        super().__init__()
        self.norm_phrase, self.norm_image = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.compare, self.decide = nn.Linear(2 * width, width), ZeroLinear(width, 1)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, phrases_BKD: Tensor, logits_BNK: Tensor, levels: list[Tensor]) -> Tensor:
        """float[B, K], added to the logits of presence."""
        phrases_BKD = self.norm_phrase(phrases_BKD)
        tokens_BTD = self.norm_image(torch.cat([x_BDHW.flatten(2).transpose(1, 2) for x_BDHW in levels], 1))
        match_BKT = self.query(phrases_BKD) @ self.key(tokens_BTD).transpose(1, 2) / math.sqrt(tokens_BTD.shape[-1])
        seen_BKD = match_BKT.softmax(-1) @ tokens_BTD
        compared_BKD = F.gelu(self.compare(torch.cat([phrases_BKD, seen_BKD], -1)))
        best_BK = logits_BNK.topk(3, 1).values.mean(1)
        return self.decide(compared_BKD).float()[..., 0] + self.gain * best_BK


class Presence(nn.Module):
    """Is the phrase in the image at all: from the phrase that has read the image, and from its best point."""

    def __init__(self, width: int, is_rich: bool):
        super().__init__()
        self.read = nn.Linear(width, 1)
        self.gain = nn.Parameter(torch.ones(1))
        self.look = PresenceLook(width) if is_rich else None

    def forward(self, phrases_BKD: Tensor, logits_BNK: Tensor, levels: list[Tensor]) -> Tensor:
        """float[B, K] logits; `levels`: P4, P5. Logits are taken as they are: presence does not train them."""
        logits_BNK = logits_BNK.detach()
        presence_BK = self.read(phrases_BKD.float())[..., 0] + self.gain * logits_BNK.amax(1)
        return presence_BK if self.look is None else presence_BK + self.look(phrases_BKD, logits_BNK, levels)


def grid_points(size_hw: torch.Size | tuple[int, int], stride: int, device: torch.device | str = "cpu") -> Tensor:
    """float32[H * W, 2] pixel x, y of the cell centres, row by row."""
    y, x = ((torch.arange(n, device=device) + 0.5) * stride for n in size_hw)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)


def all_points(size_px: tuple[int, int], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Points float32[N, 2] of every level of an image of (height, width), and float32[N] their strides."""
    levels = [grid_points((size_px[0] // s, size_px[1] // s), s, device) for s in STRIDES]
    strides = [torch.full((len(points),), float(s), device=device) for points, s in zip(levels, STRIDES, strict=True)]
    return torch.cat(levels), torch.cat(strides)


def side_of(num_points: int) -> int:
    """Side in pixels of the square image that has so many points on all levels."""
    # side 64: 8 x 8 + 4 x 4 + 2 x 2 = 84 points, 21 for each cell of 32 x 32 pixels
    return STRIDES[-1] * math.isqrt(num_points // sum((STRIDES[-1] // stride) ** 2 for stride in STRIDES))


def mask_logits(coefficients_RM: Tensor, prototypes_MHW: Tensor) -> Tensor:
    """float[R, H, W] at the prototypes' stride: each region's own mixture of the image's prototypes."""
    return torch.einsum("rm,mhw->rhw", coefficients_RM, prototypes_MHW)
