"""Everything that may be asked of one image, with its answer: only what its facts make certain, with a margin."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Any

import numpy as np

from ...grounding.geometry import where
from ...grounding.modalities import MODALITIES
from ...grounding.vocabulary import places
from ...grounding.vocabulary.labels import load_labels
from .facts import Facts, Place

SIZE_EDGES = (0.01, 0.05, 0.15)
"""Between the size bins, as parts of the image's area."""
SIZES = (("tiny", "under 1 %"), ("small", "1 to 5 %"), ("medium", "5 to 15 %"), ("large", "over 15 %"))
"""Their words and percentages."""
GRID = ("upper left", "upper", "upper right", "left", "centre", "right", "lower left", "lower", "lower right")
"""The thirds of the image in the words of `geometry.where`, row by row."""
MAX_COUNTED = 9
UNSIZED = frozenset({"red blood cell", "platelet", "nucleus"})
"""Crowds of which some are unlabelled: boxes of the rest do not tell what they cover."""

_HALF_SHARE, _HALF_MARGIN = 0.8, 0.05  # part of its area in one half; its centre from the midline
_PATIENT_SHARE, _PATIENT_MARGIN = 0.95, 0.15  # the patient's midline is near the image's, not on it
_GRID_MARGIN, _SIZE_MARGIN = 0.03, 0.1
_APART, _MAX_OVERLAP, _LARGER = 0.1, 0.25, 1.25  # of the image; of the shorter box; areas
_INSIDE, _OUTSIDE = 0.95, 0.05  # parts of the first within the second
_ROUNDING = 1e-9  # so that a flipped image has the same claims


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing asked (`asks`: the words that fill a wording), its answer, and the phrases that it follows from."""

    form: str
    answer: str
    asks: dict[str, Any] = field(default_factory=dict)
    phrases: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The form without its variant: `side` of `side-image-yesno`."""
        return self.form.partition("-")[0]


def claims(facts: Facts) -> Iterator[Claim]:
    """Every question that the image answers beyond doubt, yes and no alike, in a fixed order; captions apart."""
    yield from _image_claims(facts)
    for place in facts.single:
        yield from _place_claims(facts, place)
    for place in facts.places.values():
        yield from _amount_claims(facts, place)
    for first, second in permutations(facts.single, 2):
        yield from _relation_claims(first, second)


def body_part(facts: Facts) -> str:
    """The one part of the body that all its regions belong to in the label tree, else nothing."""
    tree, parts = load_labels(), set[str]()
    for phrase in facts.places:
        region, path = tree.body_region(phrase), tree.path(phrase)
        # of head and neck the root is named, such as brain or eye; the last two are no part of the body
        names = {"head and neck": path[0] if path else "", "any": "", "cells and tissue": ""}
        parts.add(names.get(region, region))
    return parts.pop() if len(parts) == 1 else ""


def grid_cell(place: Place, margin: float = _GRID_MARGIN) -> str:
    """The third by third of the image that mask and box both have their centre in; "" near a line of the grid."""
    cells = {where(np.array([x, y, x, y], np.float32), (1, 1)) for x, y in place.centres}
    clear = all(abs(v - line) > margin for centre in place.centres for v in centre for line in (1 / 3, 2 / 3))
    return cells.pop() if clear and len(cells) == 1 else ""


def image_half(place: Place, share: float = _HALF_SHARE, margin: float = _HALF_MARGIN) -> str:
    """`left` or `right` half of the image that holds nearly all of it; "" where it lies in both."""
    if any(abs(x - 0.5) <= margin for x, _ in place.centres):
        return ""
    half = "left" if place.left > 0.5 else "right"
    return half if max(place.left, 1 - place.left) >= share - _ROUNDING else ""


def _claim(form: str, answer: str | bool, *phrases: str, **asks: Any) -> Claim:
    """An answer that is true or false becomes yes or no."""
    words = answer if isinstance(answer, str) else "yes" if answer else "no"
    return Claim(form=form, answer=words, asks=asks, phrases=phrases)


def _image_claims(facts: Facts) -> Iterator[Claim]:
    """Modality, part of the body, which of several is there, and whether one is."""
    own = facts.image.modality
    if MODALITIES[own].spoken:
        yield _claim("modality", MODALITIES[own].spoken)
        for name, modality in MODALITIES.items():
            if modality.spoken and own not in modality.looks_like:  # a look-alike may be called by either name
                yield _claim("modality-yesno", name == own, modality=modality.spoken)
    if part := body_part(facts):
        yield _claim("body", part, *facts.places)
    # one that is there among two or three, the others annotated and absent
    others = list(combinations(facts.absent, min(2, len(facts.absent)))) if facts.absent else []
    for phrase in facts.places:
        for absent in others if phrase in facts.image.phrases else ():
            choices = sorted([phrase, *absent])
            yield _claim("organ", phrase, *choices, choices=choices)
    for phrases, is_present in ((facts.places, True), (facts.absent, False)):
        for phrase in phrases:
            yield _claim("presence", is_present, phrase, phrase=phrase)


def _place_claims(facts: Facts, place: Place) -> Iterator[Claim]:
    """Side of the image, side of the patient, third by third of the image."""
    phrase, half = place.phrase, image_half(place)
    sides = {"side-image": half} if half else {}
    clear = image_half(place, _PATIENT_SHARE, _PATIENT_MARGIN)
    if clear and facts.is_radiological and not {"left", "right"} & set(phrase.split()):
        sides["side-patient"] = "left" if clear == "right" else "right"
    for form, side in sides.items():
        in_words = places.image_half if form == "side-image" else places.patient_side
        yield _claim(form, in_words(side), phrase, phrase=phrase)
        for name in ("left", "right"):
            yield _claim(f"{form}-yesno", name == side, phrase, phrase=phrase, side=name)
    if cell := grid_cell(place):
        yield _claim("position", places.image_place(cell), phrase, phrase=phrase)
        for name in GRID:
            yield _claim("position-yesno", name == cell, phrase, phrase=phrase, place=name)


def _amount_claims(facts: Facts, place: Place) -> Iterator[Claim]:
    """How many and how large."""
    phrase = place.phrase
    # only where every region is one blob that touches no other, so that areas are what anyone would count
    is_clear = place.mask is None or place.num_blobs == place.number
    if is_clear and facts.is_complete(phrase) and place.number <= MAX_COUNTED:
        yield _claim("count", str(place.number), phrase, phrase=phrase)
        yield _claim("count-yesno", place.number > 1, phrase, phrase=phrase)
    bounds = (place.area[0] * (1 - _SIZE_MARGIN), place.area[1] * (1 + _SIZE_MARGIN))
    low, high = (sum(part >= edge for edge in SIZE_EDGES) for part in bounds)  # equal: it is of one bin for certain
    if low == high and phrase in facts.image.phrases and not (place.mask is None and phrase in UNSIZED):
        yield _claim("size-word", SIZES[low][0], phrase, phrase=phrase)
        yield _claim("size-percent", SIZES[low][1], phrase, phrase=phrase)


def _relation_claims(first: Place, second: Place) -> Iterator[Claim]:
    names = (first.phrase, second.phrase)
    # True or False where it is certain, else None
    is_first, is_second = (a.area[0] >= _LARGER * b.area[1] for a, b in ((first, second), (second, first)))
    larger = is_first if is_first or is_second else None
    relations = {"left": _before(first, second, 0), "above": _before(first, second, 1)}
    relations |= {"inside": _inside(first, second), "larger": larger}
    for form, is_true in relations.items():
        if is_true is not None:
            yield _claim(f"relation-{form}", is_true, *names, first=names[0], second=names[1])
    if larger is not None:
        yield _claim("relation-which", names[0] if larger else names[1], *names, first=names[0], second=names[1])


def _before(first: Place, second: Place, axis: int) -> bool | None:
    """Whether the first lies before the second along x (0) or y (1); None where they overlap or are near."""
    # first   |-----|           high - low: what both boxes cover of the axis, negative for a gap
    # second      |---------|   gaps: from each centre of the first (mask, box) to each of the second
    low, high = max(first.box[axis], second.box[axis]), min(first.box[axis + 2], second.box[axis + 2])
    least = min(place.box[axis + 2] - place.box[axis] for place in (first, second))
    gaps = [b[axis] - a[axis] for a in first.centres for b in second.centres]
    is_apart = high - low <= _MAX_OVERLAP * least + _ROUNDING and min(map(abs, gaps)) >= _APART - _ROUNDING
    return gaps[0] > 0 if is_apart and len(set(np.sign(gaps))) == 1 else None


def _inside(first: Place, second: Place) -> bool | None:
    """Whether the first lies within the outline of the second; None where part of it does, or boxes do not tell."""
    if load_labels().is_near(first.phrase, second.phrase):
        return None  # a mask of a kidney without its tumor says nothing of the tumor
    if first.mask is None or second.mask is None:
        widths = [min(first.box[k + 2], second.box[k + 2]) - max(first.box[k], second.box[k]) for k in (0, 1)]
        return False if min(widths) <= 0 else None
    from scipy import ndimage  # here: reading a recipe, which knows derived reports, costs no scipy

    filled = np.asarray(ndimage.binary_fill_holes(second.mask), bool)
    share = float((first.mask & filled).sum() / first.mask.sum())
    return True if share >= _INSIDE else False if share <= _OUTSIDE else None
