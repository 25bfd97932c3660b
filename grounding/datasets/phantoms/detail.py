"""Details of findings that show at full resolution alone: whoever looks at 256 or 320 pixels a side sees none of them.

A plain phantom is enlarged, and patterns are laid over its findings. What of these a small image could hold is taken
out, so that reduced images of all kinds are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter

from ...geometry import mask_to_box
from .canvas import Field
from .draw import Scene
from .findings import Rng

PLAIN_PX = 256
"""Side of the plain phantom that is enlarged."""
SIDE_PX = 1024
"""Side that details are drawn for; larger phantoms hold them enlarged."""
_GREY = (60, 180)  # levels of a finding under its patterns, which need the rest: what is cut off would be seen small
# Reductions that see nothing: those of the shipped cores (bilinear, 256 and 320 pixels) and the other usual ones.
_REDUCTIONS = (
    *((256, how) for how in (Image.Resampling.BOX, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)),
    *((side, Image.Resampling.BILINEAR) for side in (256, 320)),
)


@dataclass(frozen=True, kw_only=True)
class Detail:
    """What a finding is like at full resolution; each is as likely as its opposite, whatever the finding is."""

    is_calcified: bool
    margin: str
    texture: str


def draw_details(indices: Sequence[int], seed: tuple[int, ...], number: int) -> dict[int, Detail]:
    """Details of the findings at these indices of an image's regions; `number`: of the image in its split."""
    details: dict[int, Detail] = {}
    for k, index in enumerate(indices):
        # Of eight images in turn the first findings are of all eight kinds, and so on: balanced, not only by chance.
        kinds = np.random.default_rng([*seed, number // 8, k]).permutation(8)
        kind = int(kinds[number % 8])
        margin, texture = ("smooth", "spiculated")[kind >> 1 & 1], ("fine", "coarse")[kind >> 2]
        details[index] = Detail(is_calcified=bool(kind & 1), margin=margin, texture=texture)
    return details


def refine(scene: Scene, details: Mapping[int, Detail], size_px: int, rng: Rng) -> Scene:
    """The plain scene, PLAIN_PX a side, at `size_px` (a multiple of SIDE_PX) with the details of its findings."""
    depths = [_depth(region.mask) for region in scene.regions if region.mask is not None]
    pixels = Image.fromarray(scene.image).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    image_HW3, pattern_HW = np.asarray(pixels, np.float32), np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for index, detail in details.items():
        depth = depths[index]
        pattern_HW += _pattern(depth, detail, rng)
        # The same room for every kind, else its lack would show in the small image; it ends softly around the finding.
        near = np.clip((depth + 30) / 10, 0, 1)[..., None]
        image_HW3 = image_HW3 * (1 - near) + np.clip(image_HW3, *_GREY) * near
    image_HW3 = image_HW3 + _hidden_from_small(pattern_HW)[..., None]
    times = size_px // SIDE_PX
    image = np.rint(np.clip(image_HW3, 0, 255)).astype(np.uint8)
    masks = [(depth > 0).repeat(times, 0).repeat(times, 1) for depth in depths]
    regions = tuple(
        replace(region, mask=mask, box_xyxy_px=mask_to_box(mask))
        for region, mask in zip(scene.regions, masks, strict=True)
    )
    return Scene(image=image.repeat(times, 0).repeat(times, 1), regions=regions)


def _depth(mask_HW: NDArray[np.bool_]) -> Field:
    """Distance to the edge of the enlarged mask in pixels, positive inside."""
    inside, outside = (np.asarray(distance_transform_edt(side), np.float32) for side in (mask_HW, ~mask_HW))
    small = (inside - outside) * (SIDE_PX / PLAIN_PX)
    return np.asarray(Image.fromarray(small).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR), np.float32)


def _pattern(depth_HW: Field, detail: Detail, rng: Rng) -> Field:
    """Grey levels of texture, specks and spicules; all kinds take the same draws."""
    y, x = (np.flatnonzero((depth_HW > -30).any(axis)) for axis in (1, 0))
    part = np.s_[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
    depth = depth_HW[part]
    noise, dots, turn = rng.standard_normal(depth.shape), rng.random(depth.shape) < 1 / 50, rng.uniform(0, 2 * np.pi)
    # Grains of about one pixel, or of two.
    fine = noise - gaussian_filter(noise, 0.8)
    coarse = gaussian_filter(noise, 0.9) - gaussian_filter(noise, 1.6)
    grain, strength = (fine, 16) if detail.texture == "fine" else (coarse, 34)
    pattern = strength * np.clip(grain / grain.std(), -2, 2)
    if detail.is_calcified:
        pattern = pattern + 420 * gaussian_filter(dots.astype(np.float32), 0.6)
    pattern = pattern * (depth > 6)
    if detail.margin == "spiculated":
        # Rays of four to five pixels around the centre, from just inside the edge outwards.
        ys, xs = np.nonzero(depth > 0)
        dy, dx = np.ogrid[: depth.shape[0], : depth.shape[1]]
        angle = np.arctan2(dy - ys.mean(), dx - xs.mean())
        num_rays = round(2 * np.pi * (np.sqrt(len(ys) / np.pi) + 4) / 4.5)
        pattern = pattern + 100 * np.cos(num_rays * angle + turn) * ((depth < 4) & (depth > -14))
    whole = np.zeros_like(depth_HW)
    whole[part] = pattern
    return whole


@lru_cache(maxsize=1)
def _seen_small() -> Field:
    """float32[K, SIDE_PX]: an orthonormal basis of what reductions keep of a row of pixels."""
    eye = Image.fromarray(np.eye(SIDE_PX, dtype=np.float32))
    kept = [np.asarray(eye.resize((SIDE_PX, side), how), np.float64) for side, how in _REDUCTIONS]
    rows = np.concatenate([part / np.linalg.norm(part, axis=1).max() for part in kept])
    sizes, basis = np.linalg.eigh(rows.T @ rows)
    return np.asarray(basis.T[sizes > 0.05**2], np.float32)  # of the rest a reduction keeps less than a grey level


def _hidden_from_small(pattern_HW: Field) -> Field:
    """The pattern without what is in the span of reductions both across and down, which is what they keep."""
    basis = _seen_small()
    return np.asarray(pattern_HW - basis.T @ (basis @ pattern_HW @ basis.T) @ basis, np.float32)
