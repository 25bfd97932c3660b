"""The healthy part of a phantom: one function a modality paints the anatomy and says where findings may lie.

Everything is synthetic and stylised: it looks like the modality, it is no simulation of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas, Field, bezier, soft, wobble

Mask = NDArray[np.bool_]
RGB = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Body:
    """Structures (label, mask) in painting order, and for each finding the bool[H, W] `sites` it may lie on."""

    structures: tuple[tuple[str, Mask], ...]
    sites: dict[str, Mask]
    noise: float = 0.03
    is_grey: bool = True


def chest_xray(canvas: Canvas, rng: np.random.Generator) -> Body:
    """A frontal chest film: the patient's right lung is at the image's left."""
    dx, dy, scale = _pose(rng)
    canvas.paint(soft(canvas.blob((0.5 + dx, 0.62 + dy), (0.46 * scale, 0.56), 0, wobble(rng, 0.04)), 0.1), 0.55)
    canvas.paint(soft(canvas.blob((0.5 + dx, 0.02 + dy), (0.13, 0.2)), 0.1), 0.5)
    canvas.paint(0.2 * soft(0.035 - np.abs(canvas.x - 0.5 - dx), 0.02), 0.95)  # the spine
    lungs = {}
    for label, side in (("right lung", -1), ("left lung", 1)):
        width = (0.17 if side < 0 else 0.155) * scale
        lung = canvas.blob((0.5 + dx + side * 0.215 * scale, 0.47 + dy), (width, 0.32 * scale), -side * 0.1)
        # Cut off below by the domes of the diaphragm.
        lung = np.minimum(lung, 0.76 + dy + 0.05 * np.sin(9 * canvas.x) - canvas.y).astype(np.float32)
        canvas.paint(0.9 * soft(lung, 0.03), 0.17)
        lungs[label] = lung > 0
    for k in range(7):  # ribs, arched downwards from the spine, seven a side
        for side in (-1, 1):
            top = 0.17 + 0.085 * k + dy
            start, end = (0.5 + dx + side * 0.05, top), (0.5 + dx + side * 0.42 * scale, top + 0.1)
            bend = (0.5 + dx + side * 0.32 * scale, top - 0.08)
            canvas.paint(0.13 * canvas.stroke(bezier(start, bend, end), 0.022), 0.9)
    heart = canvas.blob((0.55 + dx, 0.63 + dy), (0.14 * scale, 0.155 * scale), 0.5, wobble(rng, 0.05))
    canvas.paint(0.95 * soft(heart, 0.03), 0.68)
    site = (lungs["right lung"] | lungs["left lung"]) & (heart < -0.02)
    canvas.shade(1 + 0.04 * canvas.cloud(rng, 8))
    return Body((*lungs.items(), ("heart", heart > 0)), {"nodule": site, "opacity": site})


def abdomen_ct(canvas: Canvas, rng: np.random.Generator) -> Body:
    """A coronal CT of the abdomen: liver at the image's left, spleen at its right, a kidney on each side."""
    dx, dy, scale = _pose(rng)
    body = canvas.blob((0.5 + dx, 0.52 + dy), (0.45 * scale, 0.6), 0, wobble(rng, 0.03))
    canvas.paint(soft(body, 0.02), 0.22)
    canvas.paint(soft(body - 0.045, 0.02), 0.36)
    liver = canvas.blob((0.31 + dx, 0.26 + dy), (0.22 * scale, 0.15 * scale), 0.25, wobble(rng, 0.1))
    spleen = canvas.blob((0.74 + dx, 0.26 + dy), (0.075 * scale, 0.13 * scale), -0.35, wobble(rng, 0.08))
    canvas.paint(soft(liver, 0.012), 0.56)
    canvas.paint(soft(spleen, 0.012), 0.62)
    kidneys: list[Field] = []
    for side in (-1, 1):
        x, y = 0.5 + dx + side * 0.225 + rng.uniform(-0.02, 0.02), 0.62 + dy + rng.uniform(-0.04, 0.04)
        bean = canvas.blob((x, y), (0.105 * scale, 0.18 * scale), side * -0.2)
        hilum = canvas.blob((x - side * 0.115 * scale, y), (0.045, 0.055))  # the notch towards the spine
        kidneys.append(np.minimum(bean, -hilum).astype(np.float32))
        canvas.paint(soft(kidneys[-1], 0.012), 0.72)
        canvas.paint(0.7 * soft(canvas.blob((x - side * 0.04, y), (0.03, 0.07)), 0.03), 0.5)
    for k in range(7):  # vertebrae
        block = canvas.blob((0.5 + dx, 0.06 + 0.15 * k + dy), (0.055, 0.055), 0, _square(0.1))
        canvas.paint(soft(block, 0.015), 0.85)
    canvas.shade(1 + 0.03 * canvas.cloud(rng, 24))
    site = (kidneys[0] > -0.012) | (kidneys[1] > -0.012)
    organs = (("liver", liver > 0), ("spleen", spleen > 0), ("kidney", kidneys[0] > 0), ("kidney", kidneys[1] > 0))
    return Body(organs, {"cyst": site, "calcification": site})


def brain_mr(canvas: Canvas, rng: np.random.Generator) -> Body:
    """An axial MR slice of the head: scalp, folded cortex, white matter, dark ventricles."""
    dx, dy, scale = _pose(rng)
    centre, angle = (0.5 + dx, 0.5 + dy), rng.uniform(-0.12, 0.12)
    radii = (0.34 * scale, 0.4 * scale)
    head = canvas.blob(centre, (radii[0] + 0.07, radii[1] + 0.07), angle)
    canvas.paint(soft(head, 0.015), 0.62)
    canvas.paint(soft(head - 0.025, 0.01), 0.06)
    brain = canvas.blob(centre, radii, angle)
    # The grey matter's edge waves around the head; noise in the phase keeps it from looking like a cog wheel.
    folds = np.sin(26 * np.arctan2(canvas.y - centre[1], canvas.x - centre[0]) + 2 * canvas.cloud(rng, 7))
    canvas.paint(soft(brain, 0.015), 0.4)
    canvas.paint(0.6 * soft(brain - 0.05 + 0.02 * folds, 0.02), 0.58)
    canvas.paint(0.5 * soft(0.006 - np.abs(canvas.x - centre[0]), 0.008) * soft(brain, 0.01), 0.12)
    horns: list[Field] = []
    for side in (-1, 1):  # a ventricle is two ellipses a side, spread in front and behind: )(
        wide, x = scale * rng.uniform(0.9, 1.25), centre[0] + side * 0.045
        horns.append(canvas.blob((x, centre[1] - 0.05), (0.032 * wide, 0.085 * wide), angle + side * 0.35))
        horns.append(canvas.blob((x, centre[1] + 0.06), (0.028 * wide, 0.075 * wide), angle - side * 0.4))
    ventricle = np.maximum.reduce(horns)
    canvas.paint(soft(ventricle, 0.01), 0.08)
    canvas.shade(1 + 0.04 * canvas.cloud(rng, 14))
    site = (brain > 0.02) & (ventricle < -0.01)
    return Body((("brain", brain > 0), ("ventricle", ventricle > 0)), {"tumor": site, "infarct": site})


def abdomen_ultrasound(canvas: Canvas, rng: np.random.Generator) -> Body:
    """A sector scan: speckle, a dark gallbladder with a bright wall and enhancement behind it."""
    apex = (0.5, -0.12)  # where the probe's beams meet, above the image
    reach = np.hypot(canvas.x - apex[0], canvas.y - apex[1])
    turn = np.abs(np.arctan2(canvas.x - apex[0], canvas.y - apex[1]))
    fan = np.minimum(np.minimum(reach - 0.2, 1.08 - reach), (0.68 - turn) * reach).astype(np.float32)
    canvas.paint(soft(fan, 0.01), 0.36)
    canvas.shade(1 + 0.22 * canvas.cloud(rng, 7))
    centre, angle = (rng.uniform(0.28, 0.72), rng.uniform(0.3, 0.74)), rng.uniform(-0.6, 0.6)
    radii = (rng.uniform(0.18, 0.22), rng.uniform(0.1, 0.13))
    bladder = canvas.blob(centre, radii, angle, wobble(rng, 0.05))
    # Fluid lets sound through: what lies behind it is brighter.
    behind = soft(0.8 * radii[0] - np.abs(canvas.x - centre[0]), 0.06) * (canvas.y > centre[1])
    canvas.shade(1 + 0.5 * behind * soft(fan, 0.01))
    canvas.paint(soft(bladder + 0.018, 0.012), 0.72)
    canvas.paint(soft(bladder, 0.012), 0.05)
    site = (fan > 0.03) & (bladder < -0.05)
    sites = {"gallstone": bladder > 0.008, "hemangioma": site}
    return Body((("gallbladder", bladder > 0),), sites, noise=0.015)


def colon_endoscopy(canvas: Canvas, rng: np.random.Generator) -> Body:
    """A view along the colon: folds around a dark lumen, wet highlights, black corners."""
    centre = (rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8))
    lumen = canvas.blob(centre, (rng.uniform(0.1, 0.14), rng.uniform(0.09, 0.13)), rng.uniform(0, 3), wobble(rng, 0.08))
    tint = np.array([0.86, rng.uniform(0.42, 0.5), rng.uniform(0.36, 0.42)], np.float32)
    canvas.image_HW3[:] = tint
    far = np.clip(-lumen, 0, None)  # from the lumen; folds lie closer together and darker the nearer they are to it
    folds = np.sin(34 * np.sqrt(far + 0.02) + 0.7 * canvas.cloud(rng, 4))
    canvas.shade((0.45 + 0.55 * np.clip(far / 0.22, 0, 1)) * (1 + 0.09 * folds) * (1 + 0.04 * canvas.cloud(rng, 12)))
    canvas.paint(soft(lumen, 0.05), (0.1, 0.03, 0.03))
    for _ in range(8):
        spot = canvas.blob((rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)), (0.011, 0.006), rng.uniform(0, 3))
        canvas.paint(0.8 * soft(spot, 0.006) * (lumen < -0.03), (1.0, 0.95, 0.92))
    view = canvas.blob((0.5, 0.5), (0.52, 0.52), 0, _square(0.045))
    canvas.shade(soft(view, 0.01))
    site = (view > 0.02) & (lumen < -0.03)
    return Body((("lumen", lumen > 0),), {"polyp": site, "ulcer": site}, noise=0.02, is_grey=False)


def skin_dermoscopy(canvas: Canvas, rng: np.random.Generator) -> Body:
    """A round dermoscopic view of skin, light to brown, with a few hairs."""
    tones = np.array([[0.93, 0.78, 0.69], [0.87, 0.69, 0.57], [0.78, 0.58, 0.45]], np.float32)
    canvas.image_HW3[:] = tones[rng.integers(len(tones))] + rng.uniform(-0.03, 0.03, 3).astype(np.float32)
    canvas.shade(1 + 0.025 * canvas.cloud(rng, 30) + 0.04 * canvas.cloud(rng, 5))
    for _ in range(rng.integers(2, 6)):
        ends = rng.uniform(0, 1, (3, 2))
        canvas.paint(0.55 * canvas.stroke(bezier(*[(float(x), float(y)) for x, y in ends]), 0.006), (0.25, 0.17, 0.13))
    centre = (0.5 + rng.uniform(-0.05, 0.05), 0.5 + rng.uniform(-0.05, 0.05))
    view = canvas.blob(centre, (0.46, 0.46) if rng.random() < 0.5 else (0.43, 0.43))
    canvas.shade(0.04 + 0.96 * soft(view, 0.015))
    return Body((("skin", view > 0),), {"nevus": view > 0.03, "melanoma": view > 0.03}, noise=0.02, is_grey=False)


def eye_fundus(canvas: Canvas, rng: np.random.Generator) -> Body:
    """A fundus photograph of either eye: optic disc, vessels, macula."""
    side = int(rng.choice((-1, 1)))
    view = canvas.blob((0.5, 0.5), (0.47, 0.47))
    glow = 1 - 0.45 * np.hypot(canvas.x - 0.5, canvas.y - 0.5)
    colour: RGB = np.array([0.8, 0.4, 0.2], np.float32) + rng.uniform(-0.05, 0.05, 3).astype(np.float32)
    canvas.paint(soft(view, 0.012), colour * glow[..., None])
    canvas.shade(1 + 0.04 * canvas.cloud(rng, 9))
    disc_at = (0.5 + side * rng.uniform(0.2, 0.29), 0.5 + rng.uniform(-0.12, 0.12))
    macula_at = (disc_at[0] - side * rng.uniform(0.3, 0.36), disc_at[1] + rng.uniform(-0.02, 0.06))
    macula = canvas.blob(macula_at, (0.085, 0.085))
    canvas.paint(0.75 * soft(macula, 0.09), (0.36, 0.13, 0.07))
    for up in (-1, 1):  # arcades above and below the macula, and a short vessel to the other side
        for bulge, length in ((0.3, 0.62), (0.24, 0.45), (0.16, -0.18)):
            bend = (disc_at[0] - side * length * 0.35, disc_at[1] + up * bulge * rng.uniform(0.9, 1.3))
            end = (disc_at[0] - side * length, disc_at[1] + up * bulge * rng.uniform(0.7, 1.2))
            alpha = canvas.stroke(bezier(disc_at, bend, end), rng.uniform(0.009, 0.015))
            canvas.paint(0.7 * alpha, (0.45, 0.1, 0.07))
    disc = canvas.blob(disc_at, (0.075, 0.088), 0, wobble(rng, 0.03))
    canvas.paint(0.95 * soft(disc, 0.015), (1.0, 0.85, 0.55))
    canvas.paint(0.7 * soft(canvas.blob(disc_at, (0.035, 0.04)), 0.02), (1.0, 0.97, 0.8))
    canvas.shade(soft(view, 0.012))
    site = (view > 0.04) & (disc < -0.02) & (macula < 0)
    structures = (("optic disc", disc > 0), ("macula", macula > 0))
    return Body(structures, {"hemorrhage": site, "exudate": site}, noise=0.02, is_grey=False)


def _pose(rng: np.random.Generator) -> tuple[float, float, float]:
    """Shift right, shift down, scale: patients never lie twice the same."""
    return rng.uniform(-0.035, 0.035), rng.uniform(-0.035, 0.035), rng.uniform(0.92, 1.06)


def _square(amount: float) -> Field:
    """The edge wave that pushes an ellipse's corners out."""
    return np.array([0, 0, 0, 0, 0, -amount], np.float32)


BODIES: dict[str, Callable[[Canvas, np.random.Generator], Body]] = {
    "xray": chest_xray,
    "ct": abdomen_ct,
    "mr": brain_mr,
    "ultrasound": abdomen_ultrasound,
    "endoscopy": colon_endoscopy,
    "dermoscopy": skin_dermoscopy,
    "fundus": eye_fundus,
}
"""The painter of each modality's anatomy."""
