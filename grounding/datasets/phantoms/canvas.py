"""A canvas on the unit square for phantoms: smooth shapes, clouds of noise, strokes. Pure numpy and PIL.

Shapes are `depth` maps: float32[H, W], positive inside, about the distance to the edge in units of the image's side.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Point = tuple[float, float]
Field = NDArray[np.float32]
Depth = NDArray[np.floating[Any]]
Colour = float | tuple[float, float, float] | Depth


class Canvas:
    """A square RGB image to paint on: `image_HW3` float32 in [0, 1]; `x` and `y` float32[H, W] run over [0, 1]."""

    def __init__(self, size_px: int, colour: Colour = 0.0):
        self.size_px = size_px
        self.image_HW3 = np.zeros((size_px, size_px, 3), np.float32)
        self.image_HW3[:] = colour
        centres = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px
        self.x, self.y = np.meshgrid(centres, centres)

    def blob(self, centre: Point, radii: Point, angle: float = 0.0, wobble: Field | None = None) -> Field:
        """Depth of an ellipse turned by `angle` radians; `wobble` float[K] are edge waves 2 .. K/2+1 (sine, cosine)."""
        dx, dy = self.x - centre[0], self.y - centre[1]
        u = (dx * math.cos(angle) + dy * math.sin(angle)) / radii[0]
        v = (dy * math.cos(angle) - dx * math.sin(angle)) / radii[1]
        reach = np.hypot(u, v)
        edge = np.ones_like(u)
        if wobble is not None:
            # On the unit circle unit**n = cos(n a) + i sin(n a): waves without an angle, so without a seam at pi.
            unit = (u + 1j * v) / np.maximum(reach, 1e-6)
            wave = unit
            for sine, cosine in np.reshape(wobble, (-1, 2)):
                wave = wave * unit
                edge = edge + sine * wave.imag + cosine * wave.real
        return ((edge - reach) * min(radii)).astype(np.float32)

    def paint(self, alpha_HW: Depth, colour: Colour) -> None:
        """Lay a colour (a number, RGB, or float[H, W, 3]) over the image, `alpha_HW` in [0, 1]."""
        alpha = alpha_HW[..., None]
        self.image_HW3 = (self.image_HW3 * (1 - alpha) + np.asarray(colour, np.float32) * alpha).astype(np.float32)

    def shade(self, factor_HW: Depth) -> None:
        """Multiply the image by a field."""
        self.image_HW3 = (self.image_HW3 * factor_HW[..., None]).astype(np.float32)

    def cloud(self, rng: np.random.Generator, cells: int) -> Field:
        """float32[H, W] of smooth noise with about unit variance and `cells` bumps a side."""
        coarse = Image.fromarray(rng.standard_normal((cells + 3, cells + 3)).astype(np.float32))
        inner = (1, 1, cells + 2, cells + 2)
        fine = np.asarray(coarse.resize((self.size_px, self.size_px), Image.Resampling.BICUBIC, box=inner), np.float32)
        return ((fine - fine.mean()) / max(float(fine.std()), 1e-6)).astype(np.float32)

    def stroke(self, points: Sequence[Point], width: float) -> Field:
        """Alpha of a line through the points, `width` in units of the side."""
        # Drawn at twice the size and averaged down: smooth edges.
        big = Image.new("L", (2 * self.size_px, 2 * self.size_px))
        pixels = [(2 * self.size_px * x, 2 * self.size_px * y) for x, y in points]
        ImageDraw.Draw(big).line(pixels, fill=255, width=max(1, round(2 * self.size_px * width)), joint="curve")
        small = big.resize((self.size_px, self.size_px), Image.Resampling.BOX)
        return (np.asarray(small, np.float32) / 255).astype(np.float32)

    def pixels(self, noise: float, rng: np.random.Generator, is_grey: bool) -> NDArray[np.uint8]:
        """uint8[H, W, 3] of the image with Gaussian noise; one noise for all channels of a grey image."""
        shape = (self.size_px, self.size_px, 1 if is_grey else 3)
        noisy = self.image_HW3 + noise * rng.standard_normal(shape).astype(np.float32)
        return np.rint(255 * np.clip(noisy, 0, 1)).astype(np.uint8)


def soft(depth_HW: Depth, width: float) -> Field:
    """Alpha that rises from 0 to 1 over `width` around the edge of a shape."""
    return np.clip(depth_HW / width + 0.5, 0, 1).astype(np.float32)


def wobble(rng: np.random.Generator, amount: float, waves: int = 4) -> Field:
    """float32[2 * waves] of edge waves for `Canvas.blob`, smaller for higher ones."""
    falloff = np.repeat(1 / np.arange(1, waves + 1), 2)
    return (amount * falloff * rng.uniform(-1, 1, 2 * waves)).astype(np.float32)


def bezier(start: Point, bend: Point, end: Point) -> list[Point]:
    """Twenty points of a quadratic curve."""
    t = np.linspace(0, 1, 20)[:, None]
    curve = (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(bend) + t**2 * np.array(end)
    return [(float(x), float(y)) for x, y in curve]
