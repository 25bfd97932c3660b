"""Report text -> sentences, and the regions each speaks of.

Two small rules without a model: where a sentence ends, and which regions carry a phrase that the sentence affirms
(`negation.py` tells what it denies).
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from ...grounding.evidence.render import where
from ...grounding.types import Region
from ..task import Sentence
from .negation import BLANK, Negation, affirmed

# --- where a sentence ends -------------------------------------------------------------------------------------------

_ABBREVIATION = re.compile(
    r"(?:dr|mrs?|ms|prof|st|figs?|vs|approx|ca|cf|e\.?g|i\.?e|resp|incl|excl|max|min|ant|post|lat|sup|inf|est|dept|vol|refs?)",
    re.IGNORECASE,
)
_BREAK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*•]|\d{1,2}[.)])\s)")
_END = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|(?<=[a-z)])\.(?=[A-Z][a-z])")
_BULLET = re.compile(r"^[-*•]\s+")


def split_sentences(text: str) -> list[str]:
    """Sentences in order, whitespace collapsed, nothing lost but list bullets.

    Decimals, abbreviations ("approx.", "e.g.", "Dr."), initials and list numbers do not end a sentence; a blank line
    and a new list item do. "No." ends one unless a number follows.
    """
    blocks = (_BULLET.sub("", block.strip()) for block in _BREAK.split(text))
    return [sentence for block in blocks for sentence in _split_block(" ".join(block.split()))]


def _split_block(block: str) -> list[str]:
    cuts = [match.end() for match in _END.finditer(block) if _ends_sentence(block, match)]
    edges = [0, *cuts, len(block)]
    parts = [block[start:end].strip() for start, end in pairwise(edges)]
    return [part for part in parts if any(letter.isalnum() for letter in part)]


def _ends_sentence(block: str, end: re.Match[str]) -> bool:
    rest = block[end.end() :].lstrip()
    if end[0][0] != "." or end[0].startswith(".."):
        is_apart = block[end.start() - 1 : end.start()] == " " and rest[:1].islower()  # a damaged dash, not a question
        return not is_apart
    words = block[: end.start()].split()
    word = words[-1].lstrip("(['\"") if words else ""
    if word.lower() in ("no", "nos"):
        return not rest[:1].isdigit()
    before = words[-2].lower() if len(words) > 1 else "."
    is_initial = len(word) == 1 and word.isupper() and (before in ("by", "dr.", "prof.") or before[1:] == ".")
    is_list_number = word.isdigit() and before.endswith((".", "!", "?"))
    return not (_ABBREVIATION.fullmatch(word) or is_initial or is_list_number)


# --- which regions it speaks of --------------------------------------------------------------------------------------


class PhraseFinder(Protocol):
    """Recognises phrases in a text; the label tree (`grounding.labels`) is one."""

    def phrases_in(self, text: str) -> tuple[str, ...]:
        """The phrases named in the text, synonyms resolved, each once."""
        ...


_PLACE = re.compile(
    r"\b(?:(upper|lower|apical|basal)[ -]?)?(left|right)\b|\b(upper|lower|apical|basal|centre|center|central)\b", re.I
)
_GRID = {"apical": "upper", "basal": "lower", "center": "centre", "central": "centre"}
CHUNK = re.compile(r"[,;:]|\b(?:and|with|but)\b", re.IGNORECASE)
_SOME = re.compile(r"\b(?:ones?|larg\w+|bigg\w+|small\w+|other|first|second|third)\b", re.IGNORECASE)  # of several
_MIRROR = {"left": "right", "right": "left"}


def ground_sentences(
    text: str,
    regions: Sequence[Region],
    tree: PhraseFinder,
    size_px: tuple[int, int] | None = None,
    *,
    min_score: float = 0.3,
    is_patient_side: bool = False,
    negation: Negation = "rules",
) -> tuple[Sentence, ...]:
    """Sentences of the text, each with the regions of the phrases that it affirms; joined by a blank they are the text.

    A region needs a score >= `min_score`. With `size_px` (width, height) given, location words ("upper left") pick
    among several regions of one phrase where at least one of them lies there. They are read as places of the IMAGE;
    with `is_patient_side` left and right change sides, as in a radiograph or a slice in the usual view. `negation`:
    who tells what is denied.
    """
    good = [region for region in regions if region.score >= min_score]
    sentences = ((sentence, affirmed(sentence, negation)) for sentence in split_sentences(text))
    return tuple(_ground(*sentence, good, tree, size_px, is_patient_side) for sentence in sentences)


def _ground(
    sentence: str,
    said: str,
    regions: list[Region],
    tree: PhraseFinder,
    size_px: tuple[int, int] | None,
    is_patient_side: bool,
) -> Sentence:
    phrases = tree.phrases_in(said)
    chosen: list[Region] = []
    for phrase in phrases:
        candidates = [region for region in regions if region.phrase == phrase]
        places = places_said(said, phrase, tree, is_patient_side)
        chosen += _there(candidates, places, size_px) if size_px else candidates
    return Sentence(text=sentence, regions=tuple(chosen), is_negated=not phrases and bool(tree.phrases_in(sentence)))


def places_said(said: str, phrase: str, tree: PhraseFinder, is_patient_side: bool = False) -> list[set[str]]:
    """Words of place said of the phrase: those of its own part of the sentence, else of parts not about "the one"."""
    parts = [part for part in CHUNK.split(said) if _PLACE.search(part)]
    own = [part for part in parts if phrase in tree.phrases_in(part)]
    return [
        {_MIRROR.get(word, word) if is_patient_side else word for word in _grid_words(found)}
        for part in own or [part for part in parts if not _SOME.search(part)]
        for found in _PLACE.finditer(_without_sided(part, tree))
    ]


def _without_sided(part: str, tree: PhraseFinder) -> str:
    """The text without names such as "left lung": their side is the patient's and part of the name, not a place."""
    for phrase in tree.phrases_in(part):
        part = re.sub(rf"\b{re.escape(phrase)}\b", BLANK, part, flags=re.I) if _PLACE.search(phrase) else part
    return part


def _grid_words(place: re.Match[str]) -> list[str]:
    words = [word.lower() for word in place.groups() if word]
    return [_GRID.get(word, word) for word in words]


def _there(regions: list[Region], places: list[set[str]], size_px: tuple[int, int]) -> list[Region]:
    """Regions at one of the places, or all of them when none is."""
    cells = [set(where(region.box_xyxy_px, size_px).split()) for region in regions]
    matching = [region for region, cell in zip(regions, cells, strict=True) if any(place <= cell for place in places)]
    return matching or list(regions)
