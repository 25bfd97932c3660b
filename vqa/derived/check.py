"""Is a derived item true? Written from the definitions, pixel by pixel, without the code and margins that made it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...grounding.datasets.schema import upgrade_row
from ...grounding.modalities import MODALITIES, parse_modality
from ...grounding.types import AnnotatedImage
from ...grounding.vocabulary.labels import load_labels
from . import captions
from .questions import question_text

_ROWS, _COLUMNS = ("upper", "", "lower"), ("left", "", "right")
_SIDED_ORGANS = {"liver": "right", "spleen": "left"}
Asks = Mapping[str, Any]


def check(item: Mapping[str, Any], image: AnnotatedImage) -> bool:
    """Whether an item (a line of `export qa`) follows from the masks of its study, from the boxes where there is none.

    Its text must be the wording that it names, and its regions those of the study. False for an unknown form.
    """
    form, asks, answer = item["form"], item["asks"], item["answer"]
    if upgrade_row(item)["image_id"] != image.image_id or form not in _TESTS:
        return False
    if item["question"] != question_text(form, item["wording"], asks):
        return False
    if (answer in ("yes", "no")) != (item["answer_type"] == "closed"):
        return False
    return _TESTS[form](asks, answer, image) and all(_is_region(row, image) for row in item["provenance"]["regions"])


def _is_region(row: Mapping[str, Any], image: AnnotatedImage) -> bool:
    region = image.regions[row["index"]]
    return region.phrase == row["phrase"] and bool(np.allclose(region.box_xyxy_px, row["box_xyxy_px"], atol=0.01))


def _pixels(image: AnnotatedImage, phrase: str) -> NDArray[np.bool_]:
    """bool[H, W]: every pixel of the phrase's regions; boxes are filled."""
    canvas = np.zeros(image.size_px[::-1], bool)
    for region in image.regions:
        if region.phrase != phrase:
            continue
        if region.mask is not None:
            canvas |= region.mask
            continue
        x0, y0, x1, y1 = (round(float(v)) for v in region.box_xyxy_px)
        canvas[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return canvas


def _centre(image: AnnotatedImage, phrase: str) -> tuple[float, float]:
    """Mean place of the pixels, as parts of width and height."""
    ys, xs = np.nonzero(_pixels(image, phrase))
    return float((xs.mean() + 0.5) / image.size_px[0]), float((ys.mean() + 0.5) / image.size_px[1])


def _has_masks(image: AnnotatedImage, phrase: str) -> bool:
    return all(region.mask is not None for region in image.regions if region.phrase == phrase)


def _is_one(image: AnnotatedImage, phrase: str) -> bool:
    """Whether "the X" is a name: one region, of a phrase that the set annotates."""
    return [region.phrase for region in image.regions].count(phrase) == 1 and phrase in image.phrases


def _is_there(image: AnnotatedImage, phrase: str) -> bool:
    return any(region.phrase == phrase for region in image.regions)


def _is_absent(image: AnnotatedImage, phrase: str) -> bool:
    """Annotated on the image, and no region is it, lies above or below it in the tree, or may be it as well."""
    tree = load_labels()
    lineage = {phrase, *tree.ancestors(phrase), *tree.descendants(phrase)}
    entry = tree.labels.get(phrase)
    lineage |= set(entry.overlaps) if entry else set()
    others = [tree.labels[region.phrase].overlaps for region in image.regions if region.phrase in tree.labels]
    is_clear = not any(region.phrase in lineage for region in image.regions)
    return phrase in image.phrases and is_clear and not any(phrase in overlaps for overlaps in others)


def _agrees(answer: str, is_true: bool) -> bool:
    return answer == ("yes" if is_true else "no")


def _modality(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    return _name_of(answer) == image.modality


def _modality_yesno(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    asked = _name_of(asks["modality"])
    if image.modality in MODALITIES[asked].looks_like:
        return False
    return _agrees(answer, asked == image.modality)


def _name_of(words: str) -> str:
    spoken = {modality.spoken.lower(): name for name, modality in MODALITIES.items()}
    return spoken.get(words.lower()) or parse_modality(words)


def _body(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    """Each region lies in that region of the body, or, of head and neck, below that root of the label tree."""
    tree = load_labels()
    names = [{tree.body_region(r.phrase), *tree.path(r.phrase)[:1]} for r in image.regions]
    return bool(names) and all(answer in found for found in names)


def _organ(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    others = [phrase for phrase in asks["choices"] if phrase != answer]
    is_choice = answer in asks["choices"] and 1 <= len(others) == len(asks["choices"]) - 1
    return is_choice and _is_there(image, answer) and all(_is_absent(image, phrase) for phrase in others)


def _presence(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    phrase = asks["phrase"]
    return _is_there(image, phrase) if answer == "yes" else answer == "no" and _is_absent(image, phrase)


def _half(image: AnnotatedImage, phrase: str) -> str:
    """The half of the image with more of its pixels; a middle column counts by halves."""
    xs = np.nonzero(_pixels(image, phrase))[1] + 0.5
    balance = float(np.sign(xs - image.size_px[0] / 2).sum())
    return "left" if balance < 0 else "right" if balance > 0 else ""


def _side_image(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    return _is_one(image, asks["phrase"]) and answer == _half(image, asks["phrase"])


def _side_image_yesno(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    half = _half(image, asks["phrase"])
    return bool(half) and _is_one(image, asks["phrase"]) and _agrees(answer, half == asks["side"])


def _patient_side(image: AnnotatedImage, phrase: str) -> str:
    """The side of the region on a picture seen as radiologists do, the patient's right at its left; else ""."""
    names = {region.phrase for region in image.regions}
    pairs = {s: s.split()[0] for s in names if s.split()[0] in ("left", "right") and _twin(s) in names}
    pairs = {name: side for name, side in pairs.items() if "heart" not in load_labels().path(name)}
    organs = {name: side for name, side in _SIDED_ORGANS.items() if name in names and image.modality == "ct"}
    told = [(_half(image, name), side) for name, side in (pairs | organs).items()]
    if not told or any(half == side for half, side in told):
        return ""
    return {"left": "right", "right": "left", "": ""}[_half(image, phrase)]


def _twin(phrase: str) -> str:
    side, _, name = phrase.partition(" ")
    return f"{'right' if side == 'left' else 'left'} {name}"


def _side_patient(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    return _is_one(image, asks["phrase"]) and answer == _patient_side(image, asks["phrase"])


def _side_patient_yesno(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    side = _patient_side(image, asks["phrase"])
    return bool(side) and _is_one(image, asks["phrase"]) and _agrees(answer, side == asks["side"])


def _number(image: AnnotatedImage, phrase: str) -> int:
    """Separate areas where there are masks, boxes where there are none; 0 for a phrase that is not annotated."""
    if phrase not in image.phrases:
        return 0
    if not _has_masks(image, phrase):
        return sum(region.phrase == phrase for region in image.regions)
    pixels = np.pad(_pixels(image, phrase), 1)
    ids = np.cumsum(pixels).reshape(pixels.shape) - 1
    pairs = [
        (ids[both], np.roll(ids, shift, (0, 1))[both])
        for shift in ((0, 1), (1, 0), (1, 1), (1, -1))
        for both in [pixels & np.roll(pixels, shift, (0, 1))]
    ]
    ends = np.concatenate([np.stack(pair) for pair in pairs], axis=1)
    total = int(pixels.sum())
    graph = coo_array((np.ones(ends.shape[1], bool), (ends[0], ends[1])), shape=(total, total))
    return int(connected_components(graph, directed=False, return_labels=False))


def _count(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    return answer == str(_number(image, asks["phrase"])) and answer != "0"


def _count_yesno(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    number = _number(image, asks["phrase"])
    return number > 0 and _agrees(answer, number > 1)


def _percent(image: AnnotatedImage, phrase: str) -> float:
    return 100 * float(_pixels(image, phrase).mean())


def _size_word(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    return _in_bounds(
        image, asks["phrase"], {"tiny": (0, 1), "small": (1, 5), "medium": (5, 15)}.get(answer, (15, 100))
    )


def _size_percent(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    bounds = {"under 1 %": (0, 1), "1 to 5 %": (1, 5), "5 to 15 %": (5, 15), "over 15 %": (15, 100)}
    return answer in bounds and _in_bounds(image, asks["phrase"], bounds[answer])


def _in_bounds(image: AnnotatedImage, phrase: str, bounds: tuple[float, float]) -> bool:
    percent = _percent(image, phrase)
    return phrase in image.phrases and percent > 0 and bounds[0] <= percent <= bounds[1]


def _third(image: AnnotatedImage, phrase: str) -> str:
    """The third by third of the image that holds the centre."""
    x, y = _centre(image, phrase)
    column, row = ((value >= 1 / 3) + (value >= 2 / 3) for value in (x, y))
    return f"{_ROWS[row]} {_COLUMNS[column]}".strip() or "centre"


def _position(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    return _is_one(image, asks["phrase"]) and answer == _third(image, asks["phrase"])


def _position_yesno(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    is_one = _is_one(image, asks["phrase"])
    return is_one and _agrees(answer, asks["place"] == _third(image, asks["phrase"]))


def _are_single(asks: Asks, image: AnnotatedImage) -> bool:
    return _is_one(image, asks["first"]) and _is_one(image, asks["second"])


def _along(axis: int) -> "Test":
    def test(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
        one, two = _centre(image, asks["first"])[axis], _centre(image, asks["second"])[axis]
        return _are_single(asks, image) and one != two and _agrees(answer, one < two)

    return test


def _inside(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    """More than nine tenths of it, or less than one, lie where no way leads to the border around the second."""
    first, second = _pixels(image, asks["first"]), _pixels(image, asks["second"])
    share = float((first & ~_reachable(second)).sum() / first.sum())
    return _are_single(asks, image) and not 0.1 <= share <= 0.9 and _agrees(answer, share > 0.9)


def _reachable(wall: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that a walk in four directions reaches from outside the picture without crossing the wall."""
    wall = np.pad(wall, 1)
    reached = np.zeros_like(wall)
    reached[0] = True
    count = 0
    while count != (count := int(reached.sum())):
        for lines, walls in ((reached, wall), (reached.T, wall.T)):
            _sweep(lines, walls)
            _sweep(lines[::-1], walls[::-1])
    return reached[1:-1, 1:-1]


def _sweep(reached: NDArray[np.bool_], wall: NDArray[np.bool_]) -> None:
    for before, here, blocked in zip(reached, reached[1:], wall[1:], strict=False):
        here |= before & ~blocked


def _larger(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    one, two = _percent(image, asks["first"]), _percent(image, asks["second"])
    return _are_single(asks, image) and one != two and _agrees(answer, one > two)


def _which(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    other = asks["second"] if answer == asks["first"] else asks["first"]
    is_named = {answer, other} == {asks["first"], asks["second"]}
    return is_named and _are_single(asks, image) and _percent(image, answer) > _percent(image, other)


def _caption(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    """Modality, part of the body, every place and every absent phrase of it are true, and nothing else is said."""
    seen: Sequence[Sequence[str]] = asks["seen"]
    return (
        answer == captions.text(asks, asks["told"])
        and asks["modality"] == image.modality
        and (not asks["body"] or _body(asks, asks["body"], image))
        and all(_is_there(image, phrase) for phrase, _ in seen)
        and all(_position({"phrase": phrase}, place, image) for phrase, place in seen if place)
        and all(_is_absent(image, phrase) for phrase in asks["absent"])
    )


Test = Callable[[Asks, str, AnnotatedImage], bool]
_TESTS: dict[str, Test] = {
    "modality": _modality,
    "modality-yesno": _modality_yesno,
    "body": _body,
    "organ": _organ,
    "presence": _presence,
    "side-image": _side_image,
    "side-image-yesno": _side_image_yesno,
    "side-patient": _side_patient,
    "side-patient-yesno": _side_patient_yesno,
    "count": _count,
    "count-yesno": _count_yesno,
    "size-word": _size_word,
    "size-percent": _size_percent,
    "position": _position,
    "position-yesno": _position_yesno,
    "relation-left": _along(0),
    "relation-above": _along(1),
    "relation-inside": _inside,
    "relation-larger": _larger,
    "relation-which": _which,
    "caption": _caption,
}
