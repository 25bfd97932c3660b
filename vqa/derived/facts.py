"""What the regions of one image say: where the regions of a phrase lie, how large they are, which way it is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...grounding.types import AnnotatedImage
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
    """One image, measured. `absent`: phrases annotated on it that nothing in it can be (others are unknown)."""

    image: AnnotatedImage
    places: Mapping[str, Place]
    absent: tuple[str, ...]

    @cached_property
    def single(self) -> tuple[Place, ...]:
        """Places of which there is exactly one in the image, so that "the liver" names it."""
        return tuple(place for place in self.places.values() if place.number == 1 and self.is_complete(place.phrase))

    def is_complete(self, phrase: str) -> bool:
        """Whether every one of them in the image is a region of its own."""
        return phrase in self.image.phrases and phrase not in UNCOUNTED

    @cached_property
    def is_radiological(self) -> bool:
        """Whether the patient's right is seen at the image's left, told by labels with a side or by liver and spleen.

        False also where nothing tells, or where the image is mirrored: then no patient's side is spoken of.
        """
        names = set(self.places)
        # phrases with a known side of the patient: both of a pair, and on CT an organ of one side
        sides = [
            (f"{side} {name[6:]}", side)
            for name in names
            if name.startswith("right ") and f"left {name[6:]}" in names
            # chambers of the heart are right and left by name, not by side: its slices lie at any angle
            if "heart" not in load_labels().path(name)
            for side in ("right", "left")
        ]
        if self.image.modality == "ct":
            sides += [pair for pair in SIDE_OF.items() if pair[0] in names]
        clear = [self.places[name] for name, _ in sides]
        is_clear = all(place.number == 1 and abs(place.left - 0.5) >= 0.3 for place in clear)
        is_seen_so = all((self.places[name].left > 0.5) == (side == "right") for name, side in sides)
        return bool(sides) and is_clear and is_seen_so


def facts_of(image: AnnotatedImage) -> Facts:
    """Measure an image; `image.regions` stay as they are. Nothing is estimated that no region or phrase tells."""
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
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    masks = [region.mask for region in regions if region.mask is not None]
    common = {"phrase": phrase, "indices": indices, "box": (x0, y0, x1, y1)}
    if len(masks) < len(regions):
        parts = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        # of each region the least and the greatest part of the image: its mask, or half of its box and all of it
        filled = [None if region.mask is None else float(region.mask.mean()) for region in regions]
        least = [0.5 * float(p) if f is None else f for f, p in zip(filled, parts, strict=True)]
        most = [float(p) if f is None else f for f, p in zip(filled, parts, strict=True)]
        left = float(np.clip((0.5 - boxes[:, 0]) / (boxes[:, 2] - boxes[:, 0]), 0, 1) @ parts / parts.sum())
        area = (max(least), min(1.0, sum(most)))
        return Place(**common, mask=None, area=area, centres=(middle,), left=left, num_blobs=0)
    mask = np.logical_or.reduce(masks)
    columns, rows, total = mask.sum(0), mask.sum(1), int(mask.sum())
    centre = (_mean(columns) / len(columns), _mean(rows) / len(rows))
    # pixels in the left half, the middle one of an odd width by half
    left = float((columns * np.clip(len(columns) / 2 - np.arange(len(columns)), 0, 1)).sum()) / total
    from scipy import ndimage  # here: reading a recipe costs no scipy

    num_blobs = 0 if phrase in UNCOUNTED else int(ndimage.label(mask, np.ones((3, 3)))[1])  # pyright: ignore
    part = total / mask.size
    return Place(**common, mask=mask, area=(part, part), centres=(centre, middle), left=left, num_blobs=num_blobs)


def _mean(counts: NDArray[np.int_]) -> float:
    return float((counts * (np.arange(len(counts)) + 0.5)).sum() / counts.sum())
