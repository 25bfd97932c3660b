"""Pyramid and fusion: image features at strides 8, 16, 32, fitted to the modality, that phrases read one by one.

Image tokens read one another and phrases read image tokens, but no pixel reads a set of phrases: what is found for
a phrase cannot depend on what else is asked. B batch, C channels, D width, H W of a level, N tokens, K phrases.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ModalityShift(nn.Embedding):
    """A gain and a bias a channel for each modality; zero, thus no change, before training."""


class Pyramid(nn.Module):
    """1 x 1 laterals with a norm, as backbones differ in scale, each scaled and shifted by its modality."""

    def __init__(self, widths_in: list[int], width: int, num_modalities: int):
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width_in, width, 1, bias=False), nn.GroupNorm(8, width)) for width_in in widths_in
        )
        self.modality = ModalityShift(num_modalities, 2 * width * len(widths_in))

    def forward(self, feature_maps: tuple[Tensor, ...], modality_ids_B: Tensor) -> list[Tensor]:
        """float[B, D, H/s, W/s] for each map."""
        adapted = []
        shifts = self.modality(modality_ids_B)[..., None, None].chunk(len(self.laterals), 1)
        for lateral, x_BCHW, shift in zip(self.laterals, feature_maps, shifts, strict=True):
            gain, bias = shift.chunk(2, 1)
            adapted.append(lateral(x_BCHW) * (1 + gain) + bias)
        return adapted


class CrossAttention(nn.Module):
    """Pre-norm attention and a small MLP on a residual path, each behind a per-channel gate that starts at 0.1."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm_q, self.norm_kv, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.gate = nn.Parameter(torch.full((width,), 0.1))
        self.gate_mlp = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, reader_BQD: Tensor, read_BND: Tensor) -> Tensor:
        """`reader` after reading `read`, float[B, Q, D]."""
        heads = (self.num_heads, reader_BQD.shape[-1] // self.num_heads)
        query = self.query(self.norm_q(reader_BQD)).unflatten(-1, heads).transpose(1, 2)
        key, value = self.key_value(self.norm_kv(read_BND)).chunk(2, -1)
        key, value = (x.unflatten(-1, heads).transpose(1, 2) for x in (key, value))
        read = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        reader_BQD = reader_BQD + self.gate * self.out(read)
        return reader_BQD + self.gate_mlp * self.mlp(self.norm_mlp(reader_BQD))


class Fusion(nn.Module):
    """P4 and P5 tokens with their places; phrases read them; P3 receives the fused P4 from above."""

    def __init__(self, width: int, num_heads: int, num_layers: int):
        super().__init__()
        self.place = nn.Linear(4 * NUM_FREQUENCIES, width)
        self.level = nn.Embedding(2, width)
        self.image_layers = nn.ModuleList(CrossAttention(width, num_heads) for _ in range(num_layers))
        self.phrase_layers = nn.ModuleList(CrossAttention(width, num_heads) for _ in range(num_layers))
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))

    def forward(self, pyramid: list[Tensor], phrases_BKD: Tensor) -> tuple[list[Tensor], Tensor]:
        """P3, P4, P5 after fusion, and the phrases that have read them."""
        p3, p4, p5 = pyramid
        p4 = p4 + F.interpolate(p5, scale_factor=2.0)
        # P4 and P5 as one list of tokens: [P4 row by row | P5 row by row], each with its place and its level
        centres = [coordinates(x).flatten(0, 1) for x in (p4, p5)]
        places = [self.place(waves(x_N2, math.pi / 2, order="sines_first")) for x_N2 in centres]
        places_ND = torch.cat([place + level for place, level in zip(places, self.level.weight, strict=True)])
        tokens_BND = torch.cat([x.flatten(2).transpose(1, 2) for x in (p4, p5)], 1) + places_ND
        for image_layer, phrase_layer in zip(self.image_layers, self.phrase_layers, strict=True):
            tokens_BND = image_layer(tokens_BND, tokens_BND)
            if phrases_BKD.shape[1]:
                phrases_BKD = phrase_layer(phrases_BKD, tokens_BND)
        size = p4.shape[2] * p4.shape[3]
        p4 = tokens_BND[:, :size].transpose(1, 2).unflatten(2, p4.shape[2:])
        p5 = tokens_BND[:, size:].transpose(1, 2).unflatten(2, p5.shape[2:])
        p3 = p3 + F.interpolate(p4, scale_factor=2.0)
        return [smooth(x) for smooth, x in zip(self.smooth, (p3, p4, p5), strict=True)], phrases_BKD


NUM_FREQUENCIES = 4


def coordinates(x_BCHW: Tensor) -> Tensor:
    """float[H, W, 2] x and y of the cell centres, -1 at the left and upper edge, 1 at the right and lower one."""
    y, x = ((torch.arange(n, device=x_BCHW.device) + 0.5) * 2 / n - 1 for n in x_BCHW.shape[2:])
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).to(x_BCHW.dtype)


def waves(coordinates_RC: Tensor, lowest: float, *, order: Literal["sines_first", "by_coordinate"]) -> Tensor:
    """float[R, 2 * C * 4]: sine and cosine of each coordinate at four octaves, from `lowest` radians a unit on.

    `order` of the columns, which trained weights depend on: all sines before all cosines, or coordinate by coordinate,
    of each its sines before its cosines. Within either, octaves rise.
    """
    octaves_W = 2.0 ** torch.arange(NUM_FREQUENCIES, device=coordinates_RC.device) * lowest
    angles_RCW = coordinates_RC[..., None] * octaves_W
    return torch.cat([angles_RCW.sin(), angles_RCW.cos()], 1 if order == "sines_first" else 2).flatten(1)
