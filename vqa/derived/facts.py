"""What the regions of one picture say: where the regions of a phrase lie, how large they are, which way it is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...grounding.types import AnnotatedImage, Region
from ...grounding.vocabulary.labels import load_labels

UNCOUNTED = frozenset(
    {
        "multiple sclerosis lesion",  # the tiny ones are in no annotation
        "red blood cell",  # some are unlabelled
        "platelet",
        "nucleus",  # touching ones are one region, cut ones are left out
        "gland",
        "retinal vessels",  # one annotation holds them all
        "hard exudates",
    }
)
"""Phrases whose regions are not one each and complete, so that neither a number nor "the one" is asked for."""
SIDE_OF = {"liver": "right", "spleen": "left"}
"""The patient's side of organs that tell how a CT slice is shown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """All regions of one phrase, measured together; lengths are parts of the image's width and height.

    `area`: the least and the greatest part of the image; of a box alone, something between half of it and all.
    `centres`: of the mask's pixels and of the box; of a box alone, that one. `left`: part of the area in the left half.
    `num_blobs`: separate areas (8-neighbours), 0 where touching ones cannot be told apart.
    """

    phrase: str
    indices: tuple[int, ...]
    mask: NDArray[np.bool_] | None
    box: tuple[float, float, float, float]
    area: tuple[float, float]
    centres: tuple[tuple[float, float], ...]
    left: float
    num_blobs: int

    @property
    def number(self) -> int:
        """How many regions."""
        return len(self.indices)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One study, measured. `absent`: phrases annotated on it that nothing in it can be (others are unknown)."""

    image: AnnotatedImage
    places: Mapping[str, Place]
    absent: tuple[str, ...]

    @cached_property
    def single(self) -> tuple[Place, ...]:
        """Places of which there is exactly one in the picture, so that "the liver" names it."""
        return tuple(place for place in self.places.values() if place.number == 1 and self.is_complete(place.phrase))

    def is_complete(self, phrase: str) -> bool:
        """Whether every one of them in the picture is a region of its own."""
        return phrase in self.image.phrases and phrase not in UNCOUNTED

    @cached_property
    def is_radiological(self) -> bool:
        """Whether the patient's right is seen at the image's left, told by labels with a side or by liver and spleen.

        False also where nothing tells, or where the picture is mirrored: then no patient's side is spoken of.
        """
        found = {_is_right_at_left(self.places[name], side) for name, side in self._sided()}
        return found == {True}

    def _sided(self) -> list[tuple[str, str]]:
        """Phrases with a known side of the patient: both of a pair, and on CT an organ of one side."""
        names = set(self.places)
        pairs = [
            (f"{side} {name[6:]}", side)
            for name in names
            if name.startswith("right ") and f"left {name[6:]}" in names
            # chambers of the heart are right and left by name, not by side: its slices lie at any angle
            if "heart" not in load_labels().path(name)
            for side in ("right", "left")
        ]
        return pairs + [pair for pair in SIDE_OF.items() if pair[0] in names and self.image.modality == "ct"]


def facts_of(image: AnnotatedImage) -> Facts:
    """Measure a study; `study.regions` stay as they are. Nothing is estimated that no region or phrase tells."""
    by_phrase: dict[str, list[int]] = {}
    for k, region in enumerate(image.regions):
        by_phrase.setdefault(region.phrase, []).append(k)
    places = {phrase: _place(image, phrase, tuple(indices)) for phrase, indices in by_phrase.items()}
    tree = load_labels()
    absent = [name for name in image.phrases if not any(tree.is_near(name, phrase) for phrase in places)]
    return Facts(image=image, places=places, absent=tuple(absent))


def _place(image: AnnotatedImage, phrase: str, indices: tuple[int, ...]) -> Place:
    regions = [image.regions[k] for k in indices]
    size = np.tile(np.array(image.size_px, np.float64), 2)
    boxes = np.stack([region.box_xyxy_px for region in regions]) / size
    x0, y0, x1, y1 = (float(v) for v in (*boxes[:, :2].min(0), *boxes[:, 2:].max(0)))
    masks = [region.mask for region in regions if region.mask is not None]
    mask = np.logical_or.reduce(masks) if len(masks) == len(regions) else None
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    common = {"phrase": phrase, "indices": indices, "box": (x0, y0, x1, y1), "mask": mask}
    if mask is None:
        parts = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        bounds = [_bounds(region, float(part)) for region, part in zip(regions, parts, strict=True)]
        area = (max(low for low, _ in bounds), min(1.0, sum(high for _, high in bounds)))
        left = float(np.clip((0.5 - boxes[:, 0]) / (boxes[:, 2] - boxes[:, 0]), 0, 1) @ parts / parts.sum())
        return Place(**common, area=area, centres=(middle,), left=left, num_blobs=0)
    columns, rows, total = mask.sum(0), mask.sum(1), int(mask.sum())
    centre = (_mean(columns) / len(columns), _mean(rows) / len(rows))
    half = len(columns) / 2
    left = float((columns * np.clip(half - np.arange(len(columns)), 0, 1)).sum()) / total
    blobs = 0 if phrase in UNCOUNTED else int(ndimage.label(mask, np.ones((3, 3)))[1])  # pyright: ignore
    part = total / mask.size
    return Place(**common, area=(part, part), centres=(centre, middle), left=left, num_blobs=blobs)


def _bounds(region: Region, box_part: float) -> tuple[float, float]:
    """Least and greatest part of the image that one region can cover."""
    if region.mask is None:
        return 0.5 * box_part, box_part
    part = float(region.mask.mean())
    return part, part


def _mean(counts: NDArray[np.int_]) -> float:
    return float((counts * (np.arange(len(counts)) + 0.5)).sum() / counts.sum())


def _is_right_at_left(place: Place, side: str) -> bool | None:
    """True for the patient's right at the image's left, False for the reverse, None where it lies in the middle."""
    is_clear = place.number == 1 and abs(place.left - 0.5) >= 0.3
    return (place.left > 0.5) == (side == "right") if is_clear else None
