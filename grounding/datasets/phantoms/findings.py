"""The findings of phantoms: one painter each, with a look of its own: bright or dark, sharp or hazy, ring or spot.

Each takes the canvas, a centre and a radius in units of the side, paints, and returns the depth map of what it painted.
"""

from collections.abc import Callable

import numpy as np

from .canvas import Canvas, Field, soft, wobble

Centre = tuple[float, float]
Rng = np.random.Generator


def nodule(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """Round, dense, sharp."""
    depth = canvas.blob(centre, (radius, radius * rng.uniform(0.9, 1.1)), rng.uniform(0, 3), wobble(rng, 0.04))
    canvas.paint(0.95 * soft(depth, 0.012), 0.88)
    return depth


def opacity(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """Wide, hazy, mottled."""
    depth = canvas.blob(centre, (1.6 * radius, 2.2 * radius), rng.uniform(-0.4, 0.4), wobble(rng, 0.12))
    haze = np.clip(0.8 + 0.08 * canvas.cloud(rng, 14), 0, 1)
    canvas.paint(haze * soft(depth, 0.05), 0.68)
    return depth


def cyst(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """Round, dark, even."""
    depth = canvas.blob(centre, (radius, radius * rng.uniform(0.88, 1.12)), rng.uniform(0, 3), wobble(rng, 0.03))
    canvas.paint(soft(depth, 0.012), 0.13)
    return depth


def calcification(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """White, jagged."""
    depth = canvas.blob(centre, (1.2 * radius, radius), rng.uniform(0, 3), wobble(rng, 0.13, waves=6))
    canvas.paint(soft(depth, 0.008), 1.0)
    return depth


def tumor(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """A bright ring around a dark core."""
    depth = canvas.blob(centre, (1.25 * radius, 1.15 * radius), rng.uniform(0, 3), wobble(rng, 0.08))
    canvas.paint(soft(depth, 0.012), 0.97)
    canvas.paint(soft(depth - 0.4 * radius, 0.015), 0.16)
    return depth


def infarct(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """Bright, even, of irregular and longish shape."""
    depth = canvas.blob(centre, (1.6 * radius, 0.95 * radius), rng.uniform(0, 3), wobble(rng, 0.14))
    canvas.paint(0.95 * soft(depth, 0.02), 0.9)
    return depth


def gallstone(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """White, with a dark shadow behind it that is no part of it."""
    depth = canvas.blob(centre, (1.1 * radius, radius), 0, wobble(rng, 0.04))
    shadow = soft(0.8 * radius - np.abs(canvas.x - centre[0]), 0.02) * (canvas.y > centre[1])
    canvas.shade(1 - 0.8 * shadow)
    canvas.paint(soft(depth, 0.01), 0.97)
    return depth


def hemangioma(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """Bright, even, lobed, without a shadow."""
    depth = canvas.blob(centre, (1.35 * radius, 1.15 * radius), rng.uniform(0, 3), wobble(rng, 0.1))
    canvas.paint(0.9 * soft(depth, 0.02), 0.78)
    return depth


def polyp(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """A smooth bump, lit from the upper left, with a wet highlight."""
    radius = 1.3 * radius
    depth = canvas.blob(centre, (radius, radius * rng.uniform(0.85, 1.0)), rng.uniform(0, 3), wobble(rng, 0.05))
    # Shadow, body lit along the diagonal, highlight: later layers cover earlier ones.
    canvas.shade(1 - 0.45 * soft(canvas.blob((centre[0] + 0.015, centre[1] + 0.02), (radius, radius)), 0.04))
    slope = ((centre[0] - canvas.x) + (centre[1] - canvas.y)) / radius
    light = np.clip(0.86 + 0.16 * slope, 0.4, 1.1)[..., None] * np.array([0.98, 0.56, 0.52], np.float32)
    canvas.paint(soft(depth, 0.012), light)
    shine = canvas.blob((centre[0] - 0.35 * radius, centre[1] - 0.4 * radius), (0.2 * radius, 0.13 * radius), -0.7)
    canvas.paint(0.9 * soft(shine, 0.008), 1.0)
    return depth


def ulcer(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """A flat yellowish floor with a ragged red rim."""
    depth = canvas.blob(centre, (1.45 * radius, 1.1 * radius), rng.uniform(0, 3), wobble(rng, 0.12, waves=6))
    canvas.paint(0.9 * soft(depth, 0.012), (0.62, 0.1, 0.1))
    floor = np.clip(1 + 0.05 * canvas.cloud(rng, 26), 0, 1.2)[..., None] * np.array([0.93, 0.87, 0.62], np.float32)
    canvas.paint(soft(depth - 0.28 * radius, 0.015), floor)
    return depth


def nevus(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """Round, even, light brown."""
    depth = canvas.blob(centre, (1.1 * radius, radius), rng.uniform(0, 3), wobble(rng, 0.03))
    canvas.paint(0.85 * soft(depth, 0.02), (0.53, 0.31, 0.19))
    return depth


def melanoma(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """Large, ragged, nearly black, in several colours."""
    depth = canvas.blob(centre, (1.75 * radius, 1.35 * radius), rng.uniform(0, 3), wobble(rng, 0.2, waves=6))
    patch = np.clip(0.5 + 0.5 * canvas.cloud(rng, 12), 0, 1)[..., None]
    colour = patch * np.array([0.29, 0.17, 0.12], np.float32) + (1 - patch) * np.array([0.1, 0.08, 0.13], np.float32)
    canvas.paint(0.95 * soft(depth, 0.015), colour)
    return depth


def hemorrhage(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """Dark red, blotted."""
    depth = canvas.blob(centre, (1.25 * radius, radius), rng.uniform(0, 3), wobble(rng, 0.12))
    canvas.paint(0.92 * soft(depth, 0.015), (0.3, 0.02, 0.03))
    return depth


def exudate(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """A waxy yellow patch with a broken surface."""
    depth = canvas.blob(centre, (1.2 * radius, radius), rng.uniform(0, 3), wobble(rng, 0.16, waves=6))
    wax = np.clip(0.9 + 0.35 * canvas.cloud(rng, 40), 0.35, 1)
    canvas.paint(wax * soft(depth, 0.01), (0.98, 0.93, 0.35))
    return depth


_GREY = (nodule, opacity, cyst, calcification, tumor, infarct, gallstone, hemangioma)
_COLOUR = (polyp, ulcer, nevus, melanoma, hemorrhage, exudate)
PAINTERS: dict[str, Callable[[Canvas, Centre, float, Rng], Field]] = {p.__name__: p for p in (*_GREY, *_COLOUR)}
"""The painter of each finding, by its label."""
