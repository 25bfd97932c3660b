"""Questions and a report of a phantom as plain rows, true by its regions alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...geometry import area, where
from ...types import AnnotatedImage, Region
from ...vocabulary.places import image_place
from .draw import FINDINGS, STRUCTURES

if TYPE_CHECKING:
    from .detail import Detail

NUMBERS = ("zero", "one", "two", "three", "four", "five")
_PLURALS = {"opacity": "opacities", "nevus": "nevi", "nucleus": "nuclei", "vertebra": "vertebrae"}
_VARIED = ("gallbladder", "lumen", "optic disc")  # structures whose place differs from image to image
_MARGIN = 0.03  # of the side: a centre so near a line of the grid is not asked for
_SHARE_PRESENT = 0.62  # of the first yes/no questions that name something present, where there is a choice
_Row = dict[str, Any]


def plural(label: str) -> str:
    """More than one of a label."""
    return _PLURALS.get(label, f"{label}s")


def article(label: str) -> str:
    """The label with `a` or `an`."""
    return f"{'an' if label[0] in 'aeiou' else 'a'} {label}"


def questions(
    image: AnnotatedImage, rng: np.random.Generator, details: "Mapping[int, Detail]" = MappingProxyType({})
) -> list[_Row]:
    """Three to six rows: question_id, image_id, question, answer, answer_type, content_type, phrases.

    `details`: of findings, by their index among the regions; three more rows on each that is the only one of its label.
    """
    labels = FINDINGS[image.modality]
    counts = Counter(region.phrase for region in image.regions)
    rows = [_ask_presence(labels, counts, rng)]
    label = _pick(labels, counts, rng, 0.85)
    rows.append(_row(f"How many {plural(label)} are there?", NUMBERS[counts[label]], "count", [label]))
    # Only where the findings are of one kind, or there are none; "finding" stands for all labels of the modality.
    present = [label for label in labels if counts[label]]
    if len(present) < 2:
        rows.append(_row("Which finding is there in the image?", [*present, "none"][0], "finding", labels))
    # Asked for a place: findings, and structures without a fixed one, of which there is exactly one.
    single = [r for r in image.regions if r.phrase in (*labels, *_VARIED) and counts[r.phrase] == 1]
    # Centres of their boxes as parts of the image's width and height.
    size = np.array(image.size_px, np.float32)
    centres = {r.phrase: ((r.box_xyxy_px[:2] + r.box_xyxy_px[2:]) / 2 / size).tolist() for r in single}
    lines = (1 / 3, 2 / 3)
    clear = [r for r in single if all(abs(at - line) > _MARGIN for at in centres[r.phrase] for line in lines)]
    if clear:
        region = _choose(clear, labels, rng)
        answer = image_place(where(region.box_xyxy_px, image.size_px))
        rows.append(_row(f"Where is the {region.phrase}?", answer, "location", [region.phrase]))
    clear = [region for region in single if abs(centres[region.phrase][0] - 0.5) > 2 * _MARGIN]
    if clear:
        region, side = _choose(clear, labels, rng), str(rng.choice(("left", "right")))
        answer = "yes" if (centres[region.phrase][0] < 0.5) == (side == "left") else "no"
        rows.append(_row(f"Is the {region.phrase} in the {side} half of the image?", answer, "half", [region.phrase]))
    if len(rows) < 5:
        second = _ask_presence(labels, counts, rng)
        rows += [second] if second["question"] != rows[0]["question"] else []
    for k, detail in details.items():
        if counts[label := image.regions[k].phrase] == 1:
            rows += _ask_detail(label, specks(image.modality, label), detail)
    return [{"question_id": f"{image.image_id}-q{k}", "image_id": image.image_id, **row} for k, row in enumerate(rows)]


def _row(question: str, answer: str, kind: str, phrases: Sequence[str]) -> _Row:
    answer_type = "closed" if answer in ("yes", "no") else "open"
    row = {"question": question, "answer": answer, "answer_type": answer_type}
    return {**row, "content_type": kind, "phrases": list(phrases)}


def _pick(labels: Sequence[str], counts: Counter[str], rng: np.random.Generator, share_present: float) -> str:
    """A finding label, one that is present with the given probability where there is a choice."""
    wants_present = rng.random() < share_present
    return str(rng.choice([label for label in labels if (counts[label] > 0) == wants_present] or labels))


def _ask_presence(labels: Sequence[str], counts: Counter[str], rng: np.random.Generator) -> _Row:
    label = _pick(labels, counts, rng, _SHARE_PRESENT)
    answer = "yes" if counts[label] else "no"
    return _row(f"Is there {article(label)} in the image?", answer, "presence", [label])


def specks(modality: str, label: str) -> str:
    """What bright specks in a finding are called: calcium is no word for those in photographs."""
    is_grey = modality in ("xray", "ct", "mr", "ultrasound")
    return "calcified" if is_grey and label != "calcification" else "speckled"


def _ask_detail(label: str, specks: str, detail: "Detail") -> list[_Row]:
    asked = (
        (f"Is the {label} {specks}?", "yes" if detail.is_calcified else "no"),
        (f"Is the margin of the {label} smooth or spiculated?", detail.margin),
        (f"Is the texture of the {label} fine or coarse?", detail.texture),
    )
    return [_row(question, answer, "detail", [label]) for question, answer in asked]


def _choose(regions: list[Region], findings: Sequence[str], rng: np.random.Generator) -> Region:
    """A finding before a structure."""
    pool = [region for region in regions if region.phrase in findings] or regions
    return pool[int(rng.integers(len(pool)))]


def report(
    image: AnnotatedImage, rng: np.random.Generator, details: "Mapping[int, Detail]" = MappingProxyType({})
) -> _Row:
    """One row: report_id, image_id, text, sentences; a sentence's `regions` are indices of the image's regions.

    `details` as in `questions`; those of the placed finding of each label are told.
    """
    names = [region.phrase for region in image.regions]
    structures = [k for k, name in enumerate(names) if name in STRUCTURES[image.modality] and names.count(name) == 1]
    k = int(rng.choice(structures))
    sentences = [_sentence(f"The {names[k]} is visible in the {_place(image, k)}.", [k])]
    absent: list[str] = []
    for label in FINDINGS[image.modality]:
        indices = [k for k, name in enumerate(names) if name == label]
        if not indices:
            absent.append(label)
            continue
        # One sentence for all findings of a label; of several the largest box is placed.
        placed = max(indices, key=lambda k: float(area(image.regions[k].box_xyxy_px)))
        place = _place(image, placed)
        word = ("", "larger", "largest")[len(indices) - 1]
        if len(indices) == 1:
            first = article(label)
            words = f"There is {first}" if rng.random() < 0.7 else f"{first[0].upper()}{first[1:]} is seen"
            text = f"{words} in the {place}."
        else:
            number = NUMBERS[len(indices)].capitalize()
            text = f"{number} {plural(label)} are seen, the {word} one in the {place}."
        sentences.append(_sentence(text, indices))
        if detail := details.get(placed):
            kind = f"{'' if detail.is_calcified else 'un'}{specks(image.modality, label)}"
            which = f"{word} {label}".strip()
            look = f"{kind}, with a {detail.margin} margin and a {detail.texture} texture"
            sentences.append(_sentence(f"The {which} is {look}.", [placed]))
    if absent:
        sentences.append({"text": f"No {' or '.join(absent)} is seen.", "regions": [], "is_negated": True})
    text = " ".join(sentence["text"] for sentence in sentences)
    return {"report_id": f"{image.image_id}-r", "image_id": image.image_id, "text": text, "sentences": sentences}


def _place(image: AnnotatedImage, k: int) -> str:
    return f"{where(image.regions[k].box_xyxy_px, image.size_px)} part of the image"


def _sentence(text: str, regions: list[int]) -> _Row:
    return {"text": text, "regions": regions, "is_negated": False}
