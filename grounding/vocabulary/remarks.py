"""What else a reader should look at in a written sentence: a place where no region lies, a modality that was not told.

A remark stands beside its sentence. One word is changed: a modality in the title of a text that contradicts what file
or user told; the remark says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..geometry import where
from ..modalities import MODALITIES
from ..types import MIN_SCORE, Region
from .labels import LabelTree
from .negation import Negation, blank_denied
from .places import image_place
from .sentences import locations_of, split_sentences

_NAMES = {
    words.lower(): name
    for name, row in MODALITIES.items()
    if name != "unknown"
    for words in (*row.other_names, row.spoken, row.image_words)
    if words
}
_MODALITY = re.compile(rf"\b(?:{'|'.join(sorted(map(re.escape, _NAMES), key=len, reverse=True))})\b", re.IGNORECASE)
_NOUN = re.compile(r" (?:image|scan|photograph|radiograph|film|slice)\b", re.IGNORECASE)
# What may stand before the modality in a title: "This is an axial CT image", "Chest X-ray".
_BEFORE = re.compile(r"(?:(?:this|it|the picture|the image) is )?(?:an? )?(?:[\w-]+ ){0,2}", re.IGNORECASE)
# Another modality may be spoken of beside the image's own.
_BESIDE = re.compile(
    r"\b(?:compar\w+|prior|previous\w*|recommend\w*|advis\w+|further|correlat\w+|follow[ -]?up|suggest\w*)\b", re.I
)


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What is to be looked at in a sentence (its index), in words that go behind "Sentence 1"."""

    sentence: int
    words: str


def find_misplaced(
    texts: Sequence[str],
    regions: Sequence[Region],
    tree: LabelTree,
    size_px: tuple[int, int],
    *,
    is_patient_side: bool = False,
    negation: Negation = "rules",
) -> list[Remark]:
    """Sentences that put a phrase where none of its regions lies. `is_patient_side`: whose a bare left or right is."""
    remarks: list[Remark] = []
    for index, text in enumerate(texts):
        affirmed = blank_denied(text, negation)
        for phrase in tree.phrases_in(affirmed):
            drawn = [region for region in regions if region.phrase == phrase and region.score >= MIN_SCORE]
            locations = locations_of(affirmed, phrase, tree, is_patient_side)
            if drawn and locations and not any(_lies(r, size_px, words) for r in drawn for words in locations):
                said = _places([" ".join(sorted(words, key=_order)) for words in locations], "or")
                cells = _places([where(region.box_xyxy_px, size_px) for region in drawn], "and")
                whose = "its regions lie" if len(drawn) > 1 else "its region lies"
                problem = f"puts “{phrase}” in the {said} of the image; {whose} in the {cells}"
                remarks.append(Remark(sentence=index, words=problem))
    return remarks


def _lies(region: Region, size_px: tuple[int, int], words: set[str]) -> bool:
    """Whether a box lies in the half, or reaches the centre, that each of the words names."""
    x0, y0, x1, y1 = (float(value) / size_px[k % 2] for k, value in enumerate(region.box_xyxy_px))
    is_in = {"left": x0 + x1 < 1, "right": x0 + x1 >= 1, "upper": y0 + y1 < 1, "lower": y0 + y1 >= 1}
    is_in["centre"] = "centre" in where(region.box_xyxy_px, size_px) or (x0 < 0.5 < x1 and y0 < 0.5 < y1)
    return all(is_in.get(word, True) for word in words)


def _places(cells: Sequence[str], joint: str) -> str:
    """Cells of the grid in words, each once: "centre, lower left and upper part"."""
    *first, last = dict.fromkeys(image_place(cell).removesuffix(" of the image") for cell in cells)
    return f"{', '.join(first)} {joint} {last}" if first else last


def _order(word: str) -> bool:
    return word in ("left", "right")  # "upper left", not "left upper"


def named_modality(text: str) -> tuple[str, tuple[int, int]] | None:
    """Our name of the first modality that a text names, and where its words stand: "MRI image" -> mr, (0, 9)."""
    if not (match := _MODALITY.search(text)):
        return None
    noun = None if _NOUN.search(match[0]) else _NOUN.match(text, match.end())
    return _NAMES[match[0].lower()], (match.start(), noun.end() if noun else match.end())


def is_other(named: str, told: str) -> bool:
    """Whether a modality that was named contradicts the one that is known; one that looks alike does not."""
    return told != "unknown" and named != told and named not in MODALITIES[told].looks_like


def correct_title(text: str, told: str) -> tuple[str, str]:
    """The text with the modality that was told in its title, and the words that were there; "" where nothing changed.

    `MRI image of the abdomen.` of a CT is `CT image of the abdomen.`
    """
    first = next(iter(split_sentences(text)), "")
    found = named_modality(text[: len(first)])
    if found is None or not is_other(found[0], told) or not _BEFORE.fullmatch(text[: found[1][0]]):
        return text, ""
    start, end = found[1]
    own, before = MODALITIES[told].image_words, text[:start]
    own = own[0].upper() + own[1:] if text[start].isupper() else own
    # "A CT image", "An X-ray image": by sound, which the first letter tells of these names
    vowel = re.match(r"[aeiouAEIOUX]|MR", own) is not None
    before = re.sub(r"\b([Aa])n? $", rf"\1{'n' if vowel else ''} ", before)
    return before + own + text[end:], text[start:end]


def other_modalities(texts: Sequence[str], known: str, who: str) -> list[Remark]:
    """Sentences that name another modality than the one known; `who` told it: "the file or user told"."""
    remarks: list[Remark] = []
    for index, text in enumerate(texts):
        found = named_modality(text)
        if found and is_other(found[0], known) and not _BESIDE.search(text):
            start, end = found[1]
            words = f"says “{text[start:end]}”; {who} {MODALITIES[known].spoken}"
            remarks.append(Remark(sentence=index, words=words))
    return remarks
