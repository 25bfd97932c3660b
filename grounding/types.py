"""The types that flow through every room: `Region` and `AnnotatedImage`. No torch, no file access."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bad_input import BadInput
from .geometry import mask_to_rle, rle_to_mask
from .modalities import parse_modality

MIN_SCORE = 0.3
"""Regions below this score are not shown to a model, nor tied to a sentence, unless a setting says otherwise."""
FAINT_SCORE = 0.05
"""A region is a guess from this score on; where something is known to be there, its best guess is better than none."""
NOTICE = "Research use, not for diagnosis."
"""Part of every output."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """One finding or structure at one place of an image.

    `box_xyxy_px` float32[4]: x0, y0, x1, y1 in pixels of the original image, half open, x0 < x1 and y0 < y1.
    `mask` bool[H, W] of the original image, zero outside the box, or None. `score` in [0, 1].
    `embedding` float32[D] from the grounding core, aligned with phrases, or None. `pooled`: float32[C] for each stride
    of the core's image tower, finest first, what its map holds inside the region, standardised; None where the core has
    none. `z`: first and last slice as parts of the volume, 0 <= first <= last <= 1; None in an image that is no slice.
    `path`: organ -> part -> finding. `outline`: float[P, 2] for each line around the mask, x and y as parts of the box,
    so that it goes where the box goes; None where no mark needs it (`evidence.outlines`).
    Raises `BadInput` for NaN, a box without area, a score outside [0, 1], and slices that are no part of the volume.
    """

    phrase: str
    box_xyxy_px: NDArray[np.float32]
    mask: NDArray[np.bool_] | None = None
    score: float = 1.0
    embedding: NDArray[np.float32] | None = None
    path: tuple[str, ...] = ()
    pooled: tuple[NDArray[np.float32], ...] | None = None
    z: tuple[float, float] | None = None
    outline: tuple[NDArray[np.float64], ...] | None = None

    def __post_init__(self) -> None:
        box = np.asarray(self.box_xyxy_px, np.float32).reshape(-1)
        # the class is frozen: only here a field is replaced by its checked value
        object.__setattr__(self, "box_xyxy_px", box)
        if box.shape != (4,) or not np.isfinite(box).all():
            raise BadInput(f"box of {self.phrase!r} is {box.tolist()}.", fix="give four finite numbers x0, y0, x1, y1")
        if not (box[0] < box[2] and box[1] < box[3]):
            raise BadInput(f"box of {self.phrase!r} has no area: {box.tolist()}.", fix="x0 < x1 and y0 < y1 are needed")
        if not 0 <= self.score <= 1:  # NaN is refused as well
            raise BadInput(f"score of {self.phrase!r} is {self.score}.", fix="scores lie in [0, 1]")
        if self.z is not None and not 0 <= self.z[0] <= self.z[1] <= 1:
            problem = f"slices of {self.phrase!r} are {self.z}."
            raise BadInput(problem, fix="give first and last slice as parts of the volume, 0 <= first <= last <= 1")
        if any(vector.ndim != 1 or not np.isfinite(vector).all() for vector in self.pooled or ()):
            raise BadInput(
                f"pooled features of {self.phrase!r} are no finite vectors.", fix="give one float32[C] a stride"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedImage:
    """One image with its annotations.

    `phrases`: every phrase its data set annotates exhaustively on this image, present or not; a phrase outside
    this list is unknown here, never a negative. `group`: patient, recording or source image, the unit that
    splits respect and intervals are clustered on. `size_px`: (width, height). `body_part`: as file or user told it, in
    lower case ("abdomen"); "": not told. `is_lateral`: a film from the side, as its file tells: regions are those of
    frontal ones, so nothing is looked for in it (`evidence.sources.Query`).
    """

    image_id: str
    image_path: Path
    modality: str
    group: str
    dataset: str
    split: str
    size_px: tuple[int, int]
    regions: tuple[Region, ...] = ()
    phrases: tuple[str, ...] = ()
    body_part: str = ""
    is_lateral: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "modality", parse_modality(self.modality))
        object.__setattr__(self, "body_part", plain_body_part(self.body_part))


def plain_body_part(text: str) -> str:
    """A body part as files and users tell it, in lower case, without brackets: "Spinal cord (rat)" is a spinal cord.

    Empty for words that name none.
    """
    words = " ".join(re.sub(r"\(.*?\)", " ", text.lower()).split())
    return "" if words in ("various", "cells", "unknown", "other") else words


def region_to_json(region: Region) -> dict[str, Any]:
    """A plain dictionary of a region, mask as uncompressed COCO RLE, `z` where it has slices; features stay behind."""
    row = {
        "phrase": region.phrase,
        "box_xyxy_px": [round(float(x), 2) for x in region.box_xyxy_px],
        "score": round(float(region.score), 4),
        "path": list(region.path),
        "mask_rle": None if region.mask is None else mask_to_rle(region.mask),
    }
    return row if region.z is None else row | {"z": [round(float(part), 4) for part in region.z]}


def region_from_json(row: Mapping[str, Any]) -> Region:
    """The inverse of `region_to_json` (no features). Raises `BadInput` for names that are no text, and as `Region`."""
    rle, z = row.get("mask_rle"), row.get("z")
    if odd := [name for name in (row["phrase"], *row.get("path", ())) if not isinstance(name, str)]:
        raise BadInput(f"phrase or path of a region holds {odd[0]!r:.60}.", fix="give texts")
    return Region(
        phrase=row["phrase"],
        box_xyxy_px=np.array(row["box_xyxy_px"], np.float32),
        score=row.get("score", 1.0),
        path=tuple(row.get("path", ())),
        mask=None if rle is None else rle_to_mask(rle),
        z=None if z is None else (float(z[0]), float(z[1])),
    )
