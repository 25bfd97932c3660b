"""Is a derived item true? Written from the definitions, pixel by pixel, without the code and margins that made it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...grounding.datasets.schema import upgrade_row
from ...grounding.modalities import MODALITIES, parse_modality
from ...grounding.types import AnnotatedImage
from ...grounding.vocabulary.labels import load_labels
from .wordings import caption_text, question_text

Asks = Mapping[str, Any]
_ROWS, _COLUMNS = ("upper", "", "lower"), ("left", "", "right")
_ORGAN_SIDES = {"liver": "right", "spleen": "left"}
_SIZES = {"tiny": (0, 1), "small": (1, 5), "medium": (5, 15)}
_PERCENTAGES = {"under 1 %": (0, 1), "1 to 5 %": (1, 5), "5 to 15 %": (5, 15), "over 15 %": (15, 100)}


def check(item: Mapping[str, Any], image: AnnotatedImage) -> bool:
    """Whether an item (a line of `export qa`) follows from the masks of its image, from the boxes where there is none.

    Its text must be the wording that it names, and its regions those of the image. False for an unknown form.
    """
    form, asks, answer = item["form"], item["asks"], item["answer"]
    if upgrade_row(item)["image_id"] != image.image_id or form not in _TESTS:
        return False
    if item["question"] != question_text(form, item["wording"], asks):
        return False
    if (answer in ("yes", "no")) != (item["answer_type"] == "closed") or not _TESTS[form](asks, answer, image):
        return False
    for row in item["provenance"]["regions"]:
        region = image.regions[row["index"]]
        if region.phrase != row["phrase"] or not np.allclose(region.box_xyxy_px, row["box_xyxy_px"], atol=0.01):
            return False
    return True


def _pixels(image: AnnotatedImage, phrase: str) -> NDArray[np.bool_]:
    """bool[H, W]: every pixel of the phrase's regions; boxes are filled."""
    canvas = np.zeros(image.size_px[::-1], bool)
    for region in image.regions:
        if region.phrase == phrase and region.mask is not None:
            canvas |= region.mask
        elif region.phrase == phrase:
            x0, y0, x1, y1 = (round(float(v)) for v in region.box_xyxy_px)
            canvas[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return canvas


def _centre(image: AnnotatedImage, phrase: str) -> tuple[float, float]:
    """Mean location of the pixels, as parts of width and height."""
    ys, xs = np.nonzero(_pixels(image, phrase))
    return float((xs.mean() + 0.5) / image.size_px[0]), float((ys.mean() + 0.5) / image.size_px[1])


def _is_single(image: AnnotatedImage, *phrases: str) -> bool:
    """Whether "the X" is a name, of each phrase: one region, of a phrase that the set annotates."""
    present = [region.phrase for region in image.regions]
    return all(present.count(phrase) == 1 and phrase in image.phrases for phrase in phrases)


def _is_present(image: AnnotatedImage, phrase: str) -> bool:
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


def _yes(is_true: bool) -> str:
    return "yes" if is_true else "no"


def _modality_name(words: str) -> str:
    spoken = {modality.spoken.lower(): name for name, modality in MODALITIES.items()}
    return spoken.get(words.lower()) or parse_modality(words)


def _is_body(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    """Each region lies in that region of the body, or, of head and neck, below that root of the label tree."""
    tree = load_labels()
    names = [{tree.body_region(r.phrase), *tree.path(r.phrase)[:1]} for r in image.regions]
    return bool(names) and all(answer in of_region for of_region in names)


def _is_organ(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    others = [phrase for phrase in asks["choices"] if phrase != answer]
    is_choice = answer in asks["choices"] and 1 <= len(others) == len(asks["choices"]) - 1
    return is_choice and _is_present(image, answer) and all(_is_absent(image, phrase) for phrase in others)


def _half(image: AnnotatedImage, phrase: str) -> str:
    """The half of the image with more of its pixels; a middle column counts by halves."""
    xs = np.nonzero(_pixels(image, phrase))[1] + 0.5
    balance = float(np.sign(xs - image.size_px[0] / 2).sum())
    return "left" if balance < 0 else "right" if balance > 0 else ""


def _patient_side(image: AnnotatedImage, phrase: str) -> str:
    """The side of the region on an image seen as radiologists do, the patient's right at its left; else ""."""
    names, sides = {region.phrase for region in image.regions}, dict[str, str]()
    for name in names:
        side, _, organ = name.partition(" ")
        twin = f"{'right' if side == 'left' else 'left'} {organ}"
        # chambers of the heart are right and left by name, not by side
        if side in ("left", "right") and twin in names and "heart" not in load_labels().path(name):
            sides[name] = side
    if image.modality == "ct":
        sides |= {name: side for name, side in _ORGAN_SIDES.items() if name in names}
    halves = [(_half(image, name), side) for name, side in sides.items()]
    if not halves or any(half == side for half, side in halves):
        return ""
    return {"left": "right", "right": "left", "": ""}[_half(image, phrase)]


def _number(image: AnnotatedImage, phrase: str) -> int:
    """Separate areas where there are masks, boxes where there are none; 0 for a phrase that is not annotated."""
    regions = [region for region in image.regions if region.phrase == phrase]
    if phrase not in image.phrases:
        return 0
    if any(region.mask is None for region in regions):
        return len(regions)
    # a graph of pixels: each is joined to those left, above, and at both upper corners, so 8 neighbours in all
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


def _has_size(image: AnnotatedImage, phrase: str, bounds: tuple[float, float]) -> bool:
    percent = 100 * float(_pixels(image, phrase).mean())
    return phrase in image.phrases and percent > 0 and bounds[0] <= percent <= bounds[1]


def _third(image: AnnotatedImage, phrase: str) -> str:
    """The third by third of the image that holds the centre."""
    x, y = _centre(image, phrase)
    column, row = ((value >= 1 / 3) + (value >= 2 / 3) for value in (x, y))
    return f"{_ROWS[row]} {_COLUMNS[column]}".strip() or "centre"


def _place_of(third: str) -> str:
    """A third in the words of an answer; those with one word are parts."""
    return f"{third}{' part' if third in ('upper', 'lower', 'left', 'right') else ''} of the image"


def _of_one(value_of: Callable[[AnnotatedImage, str], str], key: str = "", in_words: str = "{}") -> "Test":
    """The test of a form on a phrase of one region: its value is the answer, with a key whether it is what is asked.

    `in_words`: how the answer says the value, "the patient's {}".
    """

    def test(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
        if not _is_single(image, asks["phrase"]):
            return False
        value = value_of(image, asks["phrase"])
        return bool(value) and answer == (_yes(value == asks[key]) if key else in_words.format(value))

    return test


def _of_two(measure: Callable[[AnnotatedImage, str], float]) -> "Test":
    """The test of a yes-no form on two such phrases: whether the first measures less."""

    def test(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
        if not _is_single(image, asks["first"], asks["second"]):
            return False
        one, two = measure(image, asks["first"]), measure(image, asks["second"])
        return one != two and answer == _yes(one < two)

    return test


def _is_inside(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    """More than nine tenths of it, or less than one, lie where no way leads to the border around the second."""
    if not _is_single(image, asks["first"], asks["second"]):
        return False
    first, wall = _pixels(image, asks["first"]), np.pad(_pixels(image, asks["second"]), 1)
    reached, count = np.zeros_like(wall), 0
    reached[0] = True
    # walk in from the border in four directions, one sweep each, until no pixel is new
    while count != (count := int(reached.sum())):
        for lines, walls in ((reached, wall), (reached.T, wall.T)):
            for ways, blocks in ((lines, walls), (lines[::-1], walls[::-1])):
                for before, here, blocked in zip(ways, ways[1:], blocks[1:], strict=False):
                    here |= before & ~blocked
    share = float((first & ~reached[1:-1, 1:-1]).sum() / first.sum())
    return not 0.1 <= share <= 0.9 and answer == _yes(share > 0.9)


def _is_caption(asks: Asks, answer: str, image: AnnotatedImage) -> bool:
    """Modality, part of the body, every place and every absent phrase of it are true, and nothing else is said."""
    return (
        answer == caption_text(asks, asks["told"])
        and asks["modality"] == image.modality
        and (not asks["body"] or _is_body(asks, asks["body"], image))
        and all(_is_present(image, phrase) for phrase, _ in asks["seen"])
        and all(
            _TESTS["position"]({"phrase": phrase}, _place_of(place), image) for phrase, place in asks["seen"] if place
        )
        and all(_is_absent(image, phrase) for phrase in asks["absent"])
    )


Test = Callable[[Asks, str, AnnotatedImage], bool]
_is_larger = _of_two(lambda image, phrase: -float(_pixels(image, phrase).mean()))
# Of each form: does the answer `a` to what is asked, `q`, hold on the image?
_TESTS: dict[str, Test] = {
    "modality": lambda q, a, image: _modality_name(a) == image.modality,
    "modality-yesno": lambda q, a, image: (
        image.modality not in MODALITIES[_modality_name(q["modality"])].looks_like  # else neither is certain
        and a == _yes(image.modality == _modality_name(q["modality"]))
    ),
    "body": _is_body,
    "organ": _is_organ,
    "presence": lambda q, a, image: (
        _is_present(image, q["phrase"]) if a == "yes" else a == "no" and _is_absent(image, q["phrase"])
    ),
    "side-image": _of_one(_half, in_words="the image's {} half"),
    "side-image-yesno": _of_one(_half, "side"),
    "side-patient": _of_one(_patient_side, in_words="the patient's {}"),
    "side-patient-yesno": _of_one(_patient_side, "side"),
    "count": lambda q, a, image: a == str(_number(image, q["phrase"])) and a != "0",
    "count-yesno": lambda q, a, image: (n := _number(image, q["phrase"])) > 0 and a == _yes(n > 1),
    "size-word": lambda q, a, image: _has_size(image, q["phrase"], _SIZES.get(a, (15, 100))),
    "size-percent": lambda q, a, image: _has_size(image, q["phrase"], _PERCENTAGES.get(a, (101, 101))),
    "position": _of_one(lambda image, phrase: _place_of(_third(image, phrase))),
    "position-yesno": _of_one(_third, "place"),
    "relation-left": _of_two(lambda image, phrase: _centre(image, phrase)[0]),
    "relation-above": _of_two(lambda image, phrase: _centre(image, phrase)[1]),
    "relation-inside": _is_inside,
    "relation-larger": _is_larger,
    # "which is larger" is answered by one of the two names: larger, by the test above
    "relation-which": lambda q, a, image: (
        a in (q["first"], q["second"])
        and _is_larger({"first": a, "second": q["second"] if a == q["first"] else q["first"]}, "yes", image)
    ),
    "caption": _is_caption,
}
