"""The findings of phantoms: one painter each, with a look of its own: bright or dark, sharp or hazy, ring or spot.

Each takes the canvas, a centre and a radius in units of the side, paints, and returns the depth map of what it painted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .canvas import Canvas, Field, soft, wobble

Centre = tuple[float, float]
Rng = np.random.Generator


@dataclass(frozen=True)
class Spot:
    """The painter of a finding that is one shape in one colour; `width`, `height`: of the radius, a pair is drawn from.

    `edge`: how ragged, in `waves` waves; `alpha` and `softness` of its border.
    """

    width: float
    height: float | tuple[float, float]
    edge: float
    alpha: float
    softness: float
    colour: float | tuple[float, float, float]
    waves: int = 4

    def __call__(self, canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
        """Paint it. The order of the draws is part of the data set: height, angle, edge."""
        tall = rng.uniform(*self.height) if isinstance(self.height, tuple) else self.height
        angle, edge = rng.uniform(0, 3), wobble(rng, self.edge, self.waves)
        depth = canvas.blob(centre, (self.width * radius, tall * radius), angle, edge)
        canvas.paint(self.alpha * soft(depth, self.softness), self.colour)
        return depth


def opacity(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """Wide, hazy, mottled."""
    depth = canvas.blob(centre, (1.6 * radius, 2.2 * radius), rng.uniform(-0.4, 0.4), wobble(rng, 0.12))
    haze = np.clip(0.8 + 0.08 * canvas.cloud(rng, 14), 0, 1)
    canvas.paint(haze * soft(depth, 0.05), 0.68)
    return depth


def tumor(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """A bright ring around a dark core."""
    depth = canvas.blob(centre, (1.25 * radius, 1.15 * radius), rng.uniform(0, 3), wobble(rng, 0.08))
    canvas.paint(soft(depth, 0.012), 0.97)
    canvas.paint(soft(depth - 0.4 * radius, 0.015), 0.16)
    return depth


def gallstone(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """White, with a dark shadow behind it that is no part of it."""
    depth = canvas.blob(centre, (1.1 * radius, radius), 0, wobble(rng, 0.04))
    shadow = soft(0.8 * radius - np.abs(canvas.x - centre[0]), 0.02) * (canvas.y > centre[1])
    canvas.shade(1 - 0.8 * shadow)
    canvas.paint(soft(depth, 0.01), 0.97)
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


def melanoma(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """Large, ragged, nearly black, in several colours."""
    depth = canvas.blob(centre, (1.75 * radius, 1.35 * radius), rng.uniform(0, 3), wobble(rng, 0.2, waves=6))
    patch = np.clip(0.5 + 0.5 * canvas.cloud(rng, 12), 0, 1)[..., None]
    colour = patch * np.array([0.29, 0.17, 0.12], np.float32) + (1 - patch) * np.array([0.1, 0.08, 0.13], np.float32)
    canvas.paint(0.95 * soft(depth, 0.015), colour)
    return depth


def exudate(canvas: Canvas, centre: Centre, radius: float, rng: Rng) -> Field:
    """A waxy yellow patch with a broken surface."""
    depth = canvas.blob(centre, (1.2 * radius, radius), rng.uniform(0, 3), wobble(rng, 0.16, waves=6))
    wax = np.clip(0.9 + 0.35 * canvas.cloud(rng, 40), 0.35, 1)
    canvas.paint(wax * soft(depth, 0.01), (0.98, 0.93, 0.35))
    return depth


PAINTERS: dict[str, Callable[[Canvas, Centre, float, Rng], Field]] = {
    "nodule": Spot(1, (0.9, 1.1), 0.04, 0.95, 0.012, 0.88),  # round, dense, sharp
    "opacity": opacity,
    "cyst": Spot(1, (0.88, 1.12), 0.03, 1, 0.012, 0.13),  # round, dark, even
    "calcification": Spot(1.2, 1, 0.13, 1, 0.008, 1.0, waves=6),  # white, jagged
    "tumor": tumor,
    "infarct": Spot(1.6, 0.95, 0.14, 0.95, 0.02, 0.9),  # bright, even, of irregular and longish shape
    "gallstone": gallstone,
    "hemangioma": Spot(1.35, 1.15, 0.1, 0.9, 0.02, 0.78),  # bright, even, lobed, without a shadow
    "polyp": polyp,
    "ulcer": ulcer,
    "nevus": Spot(1.1, 1, 0.03, 0.85, 0.02, (0.53, 0.31, 0.19)),  # round, even, light brown
    "melanoma": melanoma,
    "hemorrhage": Spot(1.25, 1, 0.12, 0.92, 0.015, (0.3, 0.02, 0.03)),  # dark red, blotted
    "exudate": exudate,
}
"""The painter of each finding, by its label."""
