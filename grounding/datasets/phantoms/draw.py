"""Draw one phantom: `draw(modality, rng, size_px) -> Scene`, a synthetic image with its exact truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...bad_input import BadInput, nearest
from ...geometry import mask_to_box
from ...types import Region
from .anatomy import BODIES, Body, Mask
from .canvas import Canvas
from .findings import PAINTERS


@dataclass(frozen=True, kw_only=True)
class PhantomLabel:
    """One word of the phantoms: its path organ -> part -> finding, the word itself last, and where it is seen."""

    path: tuple[str, ...]
    modality: str
    is_finding: bool = True


LABELS: dict[str, PhantomLabel] = {
    "right lung": PhantomLabel(path=("chest", "lung", "right lung"), modality="xray", is_finding=False),
    "left lung": PhantomLabel(path=("chest", "lung", "left lung"), modality="xray", is_finding=False),
    "heart": PhantomLabel(path=("chest", "heart"), modality="xray", is_finding=False),
    "nodule": PhantomLabel(path=("chest", "lung", "nodule"), modality="xray"),
    "opacity": PhantomLabel(path=("chest", "lung", "opacity"), modality="xray"),
    "liver": PhantomLabel(path=("abdomen", "liver"), modality="ct", is_finding=False),
    "spleen": PhantomLabel(path=("abdomen", "spleen"), modality="ct", is_finding=False),
    "kidney": PhantomLabel(path=("abdomen", "kidney"), modality="ct", is_finding=False),
    "cyst": PhantomLabel(path=("abdomen", "kidney", "cyst"), modality="ct"),
    "calcification": PhantomLabel(path=("abdomen", "kidney", "calcification"), modality="ct"),
    "brain": PhantomLabel(path=("head", "brain"), modality="mr", is_finding=False),
    "ventricle": PhantomLabel(path=("head", "brain", "ventricle"), modality="mr", is_finding=False),
    "tumor": PhantomLabel(path=("head", "brain", "tumor"), modality="mr"),
    "infarct": PhantomLabel(path=("head", "brain", "infarct"), modality="mr"),
    "gallbladder": PhantomLabel(path=("abdomen", "gallbladder"), modality="ultrasound", is_finding=False),
    "gallstone": PhantomLabel(path=("abdomen", "gallbladder", "gallstone"), modality="ultrasound"),
    "hemangioma": PhantomLabel(path=("abdomen", "liver", "hemangioma"), modality="ultrasound"),
    "lumen": PhantomLabel(path=("colon", "lumen"), modality="endoscopy", is_finding=False),
    "polyp": PhantomLabel(path=("colon", "mucosa", "polyp"), modality="endoscopy"),
    "ulcer": PhantomLabel(path=("colon", "mucosa", "ulcer"), modality="endoscopy"),
    "skin": PhantomLabel(path=("skin",), modality="dermoscopy", is_finding=False),
    "nevus": PhantomLabel(path=("skin", "nevus"), modality="dermoscopy"),
    "melanoma": PhantomLabel(path=("skin", "melanoma"), modality="dermoscopy"),
    "optic disc": PhantomLabel(path=("eye", "retina", "optic disc"), modality="fundus", is_finding=False),
    "macula": PhantomLabel(path=("eye", "retina", "macula"), modality="fundus", is_finding=False),
    "hemorrhage": PhantomLabel(path=("eye", "retina", "hemorrhage"), modality="fundus"),
    "exudate": PhantomLabel(path=("eye", "retina", "exudate"), modality="fundus"),
}
"""Every label of the phantoms; `labels.yaml` holds the same words with their synonyms for the whole house."""

PHANTOM_MODALITIES = tuple(BODIES)
"""The modalities that can be drawn."""

# How many of a modality's two findings, and how often: about as many images hold the one, the other, none and both.
_COUNTS = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (3, 0), (0, 3), (1, 1), (2, 1), (1, 2))
_CHANCES = (0.15, 0.12, 0.12, 0.1, 0.1, 0.07, 0.07, 0.11, 0.08, 0.08)
_RADIUS = 0.046  # of the smallest finding: 17.7 px across at 192 px


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A synthetic image uint8[H, W, 3] with every region there is in it, structures before findings."""

    modality: str
    image: NDArray[np.uint8]
    regions: tuple[Region, ...]


def labels_of(modality: str) -> tuple[str, ...]:
    """Every label annotated on phantoms of a modality, structures before findings."""
    return tuple(name for name, label in LABELS.items() if label.modality == modality)


def findings_of(modality: str) -> tuple[str, ...]:
    """The finding labels of a modality."""
    return tuple(name for name in labels_of(modality) if LABELS[name].is_finding)


def draw(modality: str, rng: np.random.Generator, size_px: int = 192) -> Scene:
    """A new phantom with 0 to 3 findings. Raises `BadInput` for a modality that has no phantoms, or under 96 px."""
    if modality not in BODIES:
        raise BadInput(f"no phantoms of modality {modality!r}.", fix=nearest(modality, PHANTOM_MODALITIES))
    if size_px < 96:
        raise BadInput(f"phantoms of {size_px} px are too small to see.", fix="give size_px of 96 or more")
    canvas = Canvas(size_px)
    body = BODIES[modality](canvas, rng)
    findings = _add_findings(canvas, body, findings_of(modality), rng)
    if modality == "ultrasound":  # multiplicative speckle, a little wider than high, over everything that echoes
        grain = rng.rayleigh(0.8, (size_px, size_px)).astype(np.float32)
        canvas.shade(0.45 + 0.55 * ((grain + np.roll(grain, 1, axis=1)) / 2))
    regions = tuple(
        Region(phrase=label, box_xyxy_px=mask_to_box(mask), mask=mask, path=LABELS[label].path)
        for label, mask in (*body.structures, *findings)
    )
    return Scene(modality=modality, image=canvas.pixels(body.noise, rng, body.is_grey), regions=regions)


def _add_findings(
    canvas: Canvas, body: Body, labels: tuple[str, ...], rng: np.random.Generator
) -> list[tuple[str, Mask]]:
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


def _place(canvas: Canvas, body: Body, label: str, radius: float, free: Mask, rng: np.random.Generator) -> Mask | None:
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
