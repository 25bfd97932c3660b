"""Draw one phantom: `draw(modality, rng, size_px) -> Scene`, a synthetic image with its exact truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...bad_input import BadInput, nearest
from ...geometry import mask_to_box
from ...types import Region
from ...vocabulary.labels import load_labels
from .anatomy import BODIES, Body, Mask
from .canvas import Canvas
from .findings import PAINTERS, Rng

STRUCTURES: dict[str, tuple[str, ...]] = {
    "xray": ("right lung", "left lung", "heart"),
    "ct": ("liver", "spleen", "kidney"),
    "mr": ("brain", "ventricle"),
    "ultrasound": ("gallbladder",),
    "endoscopy": ("lumen",),
    "dermoscopy": ("skin",),
    "fundus": ("optic disc", "macula"),
}
"""The healthy labels on phantoms of each modality; the label tree knows them all, and the findings."""

FINDINGS: dict[str, tuple[str, str]] = {
    "xray": ("nodule", "opacity"),
    "ct": ("cyst", "calcification"),
    "mr": ("tumor", "infarct"),
    "ultrasound": ("gallstone", "hemangioma"),
    "endoscopy": ("polyp", "ulcer"),
    "dermoscopy": ("nevus", "melanoma"),
    "fundus": ("hemorrhage", "exudate"),
}
"""The two findings that phantoms of each modality may show."""

PHANTOM_MODALITIES = tuple(BODIES)
"""The modalities that can be drawn."""

# How many of a modality's two findings, and how often: about as many images hold the one, the other, none and both.
_COUNTS = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (3, 0), (0, 3), (1, 1), (2, 1), (1, 2))
_CHANCES = (0.15, 0.12, 0.12, 0.1, 0.1, 0.07, 0.07, 0.11, 0.08, 0.08)
_RADIUS = 0.046  # of the smallest finding: 17.7 px across at 192 px


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A synthetic image uint8[H, W, 3] with every region there is in it, structures before findings."""

    image: NDArray[np.uint8]
    regions: tuple[Region, ...]


def draw(modality: str, rng: np.random.Generator, size_px: int = 192) -> Scene:
    """A new phantom with 0 to 3 findings. Raises `BadInput` for a modality that has no phantoms, or under 96 px."""
    if modality not in BODIES:
        raise BadInput(f"no phantoms of modality {modality!r}.", fix=nearest(modality, PHANTOM_MODALITIES))
    if size_px < 96:
        raise BadInput(f"phantoms of {size_px} px are too small to see.", fix="give size_px of 96 or more")
    canvas = Canvas(size_px)
    body = BODIES[modality](canvas, rng)
    findings = _add_findings(canvas, body, FINDINGS[modality], rng)
    if modality == "ultrasound":  # multiplicative speckle, a little wider than high, over everything that echoes
        grain = rng.rayleigh(0.8, (size_px, size_px)).astype(np.float32)
        canvas.shade(0.45 + 0.55 * ((grain + np.roll(grain, 1, axis=1)) / 2))
    regions = tuple(
        Region(phrase=label, box_xyxy_px=mask_to_box(mask), mask=mask, path=load_labels().path(label))
        for label, mask in (*body.structures, *findings)
    )
    return Scene(image=canvas.pixels(body.noise, rng, body.is_grey), regions=regions)


def _add_findings(canvas: Canvas, body: Body, labels: tuple[str, str], rng: Rng) -> list[tuple[str, Mask]]:
    """Paint findings of clearly different sizes where there is room; one that finds none is left out."""
    counts = _COUNTS[rng.choice(len(_COUNTS), p=_CHANCES)]
    wanted = [label for label, count in zip(labels, counts, strict=True) for _ in range(count)]
    growth = rng.permutation([1.0, 1.22, 1.45])
    findings: list[tuple[str, Mask]] = []
    free = np.zeros((canvas.size_px, canvas.size_px), bool)
    free[2:-2, 2:-2] = True
    margin_px = round(0.04 * canvas.size_px)
    for label, grow in zip(wanted, growth, strict=False):
        mask = _place(canvas, body, label, _RADIUS * float(grow), free, rng)
        if mask is not None:
            findings.append((label, mask))
            # The box and a margin around it are taken: findings never touch one another.
            x0, y0, x1, y1 = mask_to_box(mask).astype(int)
            free[max(0, y0 - margin_px) : y1 + margin_px, max(0, x0 - margin_px) : x1 + margin_px] = False
    return findings


def _place(canvas: Canvas, body: Body, label: str, radius: float, free: Mask, rng: Rng) -> Mask | None:
    """Paint one finding with its centre on a free site, each cell of the 3 x 3 grid as likely as the others."""
    before, site = canvas.image_HW3, body.sites[label]
    ys, xs = np.nonzero(site & free)
    cells = 3 * (3 * ys // canvas.size_px) + 3 * xs // canvas.size_px  # 0 1 2 / 3 4 5 / 6 7 8
    for cell in rng.permutation(np.flatnonzero(np.bincount(cells))):
        for pick in rng.choice(np.flatnonzero(cells == cell), 12):
            y, x, reach = int(ys[pick]), int(xs[pick]), int(0.7 * radius * canvas.size_px)
            if not (free & site)[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].mean() > 0.85:
                continue  # cheaper than to paint and take back
            mask = PAINTERS[label](canvas, (float(canvas.x[y, x]), float(canvas.y[y, x])), radius, rng) > 0
            if mask.any() and (mask & site).sum() >= 0.88 * mask.sum() and not (mask & ~free).any():
                return mask
            canvas.image_HW3 = before
    return None
