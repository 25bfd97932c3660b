"""Everything that may be asked of one picture, with its answer: only what its facts make certain, with a margin."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Any

import numpy as np
from scipy import ndimage

from ...grounding.geometry import where
from ...grounding.modalities import MODALITIES
from ...grounding.vocabulary.labels import load_labels
from .facts import Facts, Place

SIZES = ((0.01, "tiny", "under 1 %"), (0.05, "small", "1 to 5 %"), (0.15, "medium", "5 to 15 %"))
"""Upper edges of the size bins as parts of the image's area, their words, their percentages."""
LARGEST = ("large", "over 15 %")
GRID = ("upper left", "upper", "upper right", "left", "centre", "right", "lower left", "lower", "lower right")
"""The thirds of the image in the words of `evidence.where`, row by row."""
MOST_COUNTED = 9

_HALF_SHARE, _HALF_MARGIN = 0.8, 0.05
_PATIENT_SHARE, _PATIENT_MARGIN = 0.95, 0.15  # the patient's midline is near the image's, not on it
_GRID_MARGIN, _SIZE_MARGIN = 0.03, 0.1
_APART, _MOST_OVERLAP, _LARGER = 0.1, 0.25, 1.25
_INSIDE, _OUTSIDE = 0.95, 0.05
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing asked (`asks`: the words that fill a wording), its answer, and the places that it follows from."""

    kind: str
    form: str
    answer: str
    asks: dict[str, Any] = field(default_factory=dict)
    phrases: tuple[str, ...] = ()


def claims(facts: Facts) -> Iterator[Claim]:
    """Every question that the picture answers beyond doubt, yes and no alike, in a fixed order; captions apart."""
    yield from _modality(facts)
    yield from _body(facts)
    yield from _organ(facts)
    yield from _presence(facts)
    for place in facts.single:
        yield from _side(facts, place)
        yield from _position(facts, place)
    for place in facts.places.values():
        yield from _count(facts, place)
        yield from _size(facts, place)
    for first, second in permutations(facts.single, 2):
        yield from _relation(facts, first, second)


def is_mixed(one: str, other: str) -> bool:
    """Whether an image of one modality may be called the other."""
    return one == other or other in MODALITIES[one].looks_like


def body_part(facts: Facts) -> str:
    """The one part of the body that all its regions belong to in the label tree, else nothing."""
    tree = load_labels()
    found = {_part(tree.body_region(phrase), tree.path(phrase)) for phrase in facts.places}
    return found.pop() if len(found) == 1 else ""


def _part(region: str, path: tuple[str, ...]) -> str:
    names = {"head and neck": path[0] if path else "", "any": "", "cells and tissue": ""}
    return names.get(region, region)


def size_bin(area: tuple[float, float], margin: float = _SIZE_MARGIN) -> tuple[str, str] | None:
    """Word and percentage of an area between two bounds; None where it may be of two bins."""
    low, high = (sum(part >= edge for edge, *_ in SIZES) for part in (area[0] * (1 - margin), area[1] * (1 + margin)))
    bins = [*((word, percent) for _, word, percent in SIZES), LARGEST]
    return bins[low] if low == high else None


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


def _yes(is_true: bool) -> str:
    return "yes" if is_true else "no"


def _modality(facts: Facts) -> Iterator[Claim]:
    own = facts.image.modality
    if not MODALITIES[own].spoken:
        return
    yield Claim(kind="modality", form="modality", answer=MODALITIES[own].spoken)
    for name, modality in MODALITIES.items():
        if modality.spoken and (name == own or not is_mixed(name, own)):
            asks = {"modality": modality.spoken}
            yield Claim(kind="modality", form="modality-yesno", asks=asks, answer=_yes(name == own))


def _body(facts: Facts) -> Iterator[Claim]:
    if part := body_part(facts):
        yield Claim(kind="body", form="body", answer=part, phrases=tuple(facts.places))


def _organ(facts: Facts) -> Iterator[Claim]:
    """One that is there among two or three, the others annotated and absent."""
    for phrase in facts.places:
        for absent in combinations(facts.absent, min(2, len(facts.absent))) if phrase in facts.image.phrases else ():
            if absent:
                choices = sorted([phrase, *absent])
                asks = {"choices": choices}
                yield Claim(kind="organ", form="organ", asks=asks, answer=phrase, phrases=tuple(choices))


def _presence(facts: Facts) -> Iterator[Claim]:
    for phrases, answer in ((tuple(facts.places), "yes"), (facts.absent, "no")):
        for phrase in phrases:
            yield Claim(kind="presence", form="presence", asks={"phrase": phrase}, answer=answer, phrases=(phrase,))


def _side(facts: Facts, place: Place) -> Iterator[Claim]:
    if half := image_half(place):
        yield from _sides("side-image", place.phrase, half)
    clear = image_half(place, _PATIENT_SHARE, _PATIENT_MARGIN)
    if clear and facts.is_radiological and not {"left", "right"} & set(place.phrase.split()):
        yield from _sides("side-patient", place.phrase, "left" if clear == "right" else "right")


def _sides(form: str, phrase: str, side: str) -> Iterator[Claim]:
    yield Claim(kind="side", form=form, asks={"phrase": phrase}, answer=side, phrases=(phrase,))
    for asked in ("left", "right"):
        asks = {"phrase": phrase, "side": asked}
        yield Claim(kind="side", form=f"{form}-yesno", asks=asks, answer=_yes(asked == side), phrases=(phrase,))


def _position(facts: Facts, place: Place) -> Iterator[Claim]:
    if not (cell := grid_cell(place)):
        return
    phrase = place.phrase
    yield Claim(kind="position", form="position", asks={"phrase": phrase}, answer=cell, phrases=(phrase,))
    for asked in GRID:
        asks = {"phrase": phrase, "place": asked}
        yield Claim(kind="position", form="position-yesno", asks=asks, answer=_yes(asked == cell), phrases=(phrase,))


def _count(facts: Facts, place: Place) -> Iterator[Claim]:
    """Where every region is one blob that touches no other, so that areas are what anyone would count."""
    is_clear = place.mask is None or place.num_blobs == place.number
    if not (is_clear and facts.is_complete(place.phrase) and place.number <= MOST_COUNTED):
        return
    asks, phrases = {"phrase": place.phrase}, (place.phrase,)
    yield Claim(kind="count", form="count", asks=asks, answer=str(place.number), phrases=phrases)
    yield Claim(kind="count", form="count-yesno", asks=asks, answer=_yes(place.number > 1), phrases=phrases)


def _size(facts: Facts, place: Place) -> Iterator[Claim]:
    found = size_bin(place.area) if place.phrase in facts.image.phrases else None
    if found is None or (place.mask is None and place.phrase in UNSIZED):
        return
    for form, answer in zip(("size-word", "size-percent"), found, strict=True):
        yield Claim(kind="size", form=form, asks={"phrase": place.phrase}, answer=answer, phrases=(place.phrase,))


UNSIZED = frozenset({"red blood cell", "platelet", "nucleus"})
"""Crowds of which some are unlabelled: boxes of the rest do not tell what they cover."""


def _relation(facts: Facts, first: Place, second: Place) -> Iterator[Claim]:
    names = (first.phrase, second.phrase)
    found = {
        "left": _before(first, second, 0),
        "above": _before(first, second, 1),
        "inside": _inside(first, second),
        "larger": _larger(first, second),
    }
    asks = {"first": names[0], "second": names[1]}
    for form, is_true in found.items():
        if is_true is not None:
            answer = _yes(is_true)
            yield Claim(kind="relation", form=f"relation-{form}", asks=asks, answer=answer, phrases=names)
    if found["larger"] is not None:
        answer = names[0] if found["larger"] else names[1]
        yield Claim(kind="relation", form="relation-which", asks=asks, answer=answer, phrases=names)


def _before(first: Place, second: Place, axis: int) -> bool | None:
    """Whether the first lies before the second along x (0) or y (1); None where they overlap or are near."""
    low, high = max(first.box[axis], second.box[axis]), min(first.box[axis + 2], second.box[axis + 2])
    least = min(place.box[axis + 2] - place.box[axis] for place in (first, second))
    gaps = [b[axis] - a[axis] for a in first.centres for b in second.centres]
    if (
        high - low > _MOST_OVERLAP * least + _ROUNDING
        or min(map(abs, gaps)) < _APART - _ROUNDING
        or len(set(np.sign(gaps))) > 1
    ):
        return None
    return gaps[0] > 0


def _inside(first: Place, second: Place) -> bool | None:
    """Whether the first lies within the outline of the second; None where part of it does, or boxes do not tell."""
    if load_labels().is_near(first.phrase, second.phrase):
        return None  # a mask of a kidney without its tumor says nothing of the tumor
    if first.mask is None or second.mask is None:
        widths = [min(first.box[k + 2], second.box[k + 2]) - max(first.box[k], second.box[k]) for k in (0, 1)]
        return False if min(widths) <= 0 else None
    filled = np.asarray(ndimage.binary_fill_holes(second.mask), bool)
    share = float((first.mask & filled).sum() / first.mask.sum())
    return True if share >= _INSIDE else False if share <= _OUTSIDE else None


def _larger(first: Place, second: Place) -> bool | None:
    if first.area[0] >= _LARGER * second.area[1]:
        return True
    return False if second.area[0] >= _LARGER * first.area[1] else None
