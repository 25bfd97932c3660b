"""Regions as the tools find, measure, compare and write them."""

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ...grounding.bad_input import BadInput
from ...grounding.geometry import area, iou, where
from ...grounding.imaging.read import is_dicom
from ...grounding.types import AnnotatedImage, Region, region_to_json
from ..inference.system import TrainedSystem
from ..inference.trust.knowledge import know, modality_lines, phrase_lines

MOST_PHRASES = 64
"""Phrases that one call may look for."""


def split_phrases(text: str) -> list[str]:
    """The phrases of `left lung; effusion, heart`, none twice. Raises `BadInput` for more than `MOST_PHRASES`."""
    phrases = list(dict.fromkeys(" ".join(part.split()) for part in re.split(r"[;,\n]", text) if part.strip()))
    if len(phrases) > MOST_PHRASES:
        raise BadInput(f"{len(phrases)} phrases are too many.", fix=f"look for {MOST_PHRASES} at most")
    return phrases


def find(system: TrainedSystem, image: AnnotatedImage, text: str, min_score: float) -> tuple[list[Region], list[str]]:
    """Regions of at least `min_score`, best first, and the phrases looked for: those of the text, else usual ones.

    Raises `BadInput` where there is nothing to look for.
    """
    phrases = split_phrases(text) or usual_phrases(system, image)
    if not phrases:
        raise BadInput("nothing to look for in this image.", fix="give a phrase or the modality")
    regions = system.finder.ground([image], [phrases])[0]
    return [region for region in regions if region.score >= min_score], phrases


def usual_phrases(system: TrainedSystem, image: AnnotatedImage) -> list[str]:
    """What the finder learned of the image's modality, or, where nobody told it, of the one that it guesses."""
    modality = image.modality
    if modality == "unknown":
        modality = know(system.finder, image, system.vocabulary).modality
    return list(system.vocabulary.get(modality, ()))


def every_phrase(system: TrainedSystem, modality: str = "") -> list[str]:
    """What the finder learned, of one modality or of all, in alphabetical order."""
    known = system.vocabulary
    return sorted(set(known.get(modality, ()) or chain.from_iterable(known.values())))


def notes_of(
    system: TrainedSystem, image: AnnotatedImage, asked: Sequence[str], regions: Sequence[Region]
) -> list[str]:
    """What the finder knows of the image and of the phrases that were asked for, in words."""
    known = know(system.finder, image, system.vocabulary)
    lines = known.lines + modality_lines(image.modality, system.vocabulary)
    return lines + phrase_lines(asked, regions, system.vocabulary, known.modality)


def as_row(region: Region, *, with_mask: bool = False) -> dict[str, Any]:
    """A region for JSON; without its mask, which is the longest part, unless it is wanted."""
    row = region_to_json(region)
    if not with_mask:
        row.pop("mask_rle")
    return row


def spacing_mm(path: Path) -> tuple[float, float] | None:
    """(x, y) distance of pixel centres, where a DICOM file tells it."""
    if not is_dicom(path):
        return None
    from ...grounding.imaging.dicom import read_dicom

    return read_dicom(path).spacing_mm


def measured(region: Region, size_px: tuple[int, int], spacing: tuple[float, float] | None) -> dict[str, Any]:
    """Width, height and area of a region in pixels, as part of the image, and in mm where the spacing is known.

    The area is that of the mask, else of the box.
    """
    box = region.box_xyxy_px
    width, height = float(box[2] - box[0]), float(box[3] - box[1])
    pixels = float(area(box)) if region.mask is None else float(region.mask.sum())
    row = as_row(region) | {
        "width_px": round(width, 2),
        "height_px": round(height, 2),
        "area_px": round(pixels, 2),
        "area_of": "box" if region.mask is None else "mask",
        "part_of_image": round(pixels / (size_px[0] * size_px[1]), 4),
        "place": where(box, size_px),
    }
    if spacing:
        x, y = spacing
        row |= {
            "width_mm": round(width * x, 2),
            "height_mm": round(height * y, 2),
            "area_mm2": round(pixels * x * y, 2),
        }
    return row


def best_of_each(regions: Sequence[Region]) -> dict[str, Region]:
    """Phrase -> its best region."""
    best: dict[str, Region] = {}
    for region in sorted(regions, key=lambda region: -region.score):
        best.setdefault(region.phrase, region)
    return best


def changed(
    phrase: str, first: Region | None, second: Region | None, size_px: tuple[int, int], other_px: tuple[int, int]
) -> dict[str, Any]:
    """One phrase in two images: `in`, both regions, and where both are there how much they overlap and have grown.

    Boxes are compared as parts of their images, which may differ in size.
    """
    rows = {"first": first and as_row(first), "second": second and as_row(second)}
    if first is None or second is None:
        return {"phrase": phrase, "in": "second" if first is None else "first"} | rows
    boxes = [
        region.box_xyxy_px / np.tile(np.array(size, np.float32), 2)
        for region, size in ((first, size_px), (second, other_px))
    ]
    grown = float(area(boxes[1])) / float(area(boxes[0]))
    overlap = round(float(iou(boxes[0], boxes[1])[0, 0]), 4)
    return {"phrase": phrase, "in": "both", **rows, "iou": overlap, "area_ratio": round(grown, 4)}


def cosine(first: Region, second: Region) -> float:
    """Likeness of two regions to the core, in [-1, 1]. Raises `BadInput` where they have no vectors."""
    if first.embedding is None or second.embedding is None:
        raise BadInput("this grounder gives regions no vectors.", fix="choose a core of ours")
    norms = float(np.linalg.norm(first.embedding) * np.linalg.norm(second.embedding))
    return float(first.embedding @ second.embedding) / norms if norms else 0.0
