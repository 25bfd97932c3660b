"""Report text -> sentences, and the regions each speaks of, by two rules without a model.

Where a sentence ends, and which regions carry a phrase that the sentence affirms (`negation` blanks what it denies).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, pairwise

from ..geometry import where
from ..types import MIN_SCORE, Region
from .labels import LabelTree
from .negation import BLANK, Negation, blank_denied
from .places import LOCATION, read_location


@dataclass(frozen=True, kw_only=True, eq=False)
class Sentence:
    """One sentence and the regions it speaks of; a negated or general sentence has none."""

    text: str
    regions: tuple[Region, ...] = ()
    is_negated: bool = False


# --- where a sentence ends -------------------------------------------------------------------------------------------

_ABBREVIATION = re.compile(
    r"(?:dr|mrs?|ms|prof|st|figs?|vs|approx|ca|cf|e\.?g|i\.?e|resp|incl|excl|max|min|ant|post|lat|sup|inf|est|dept|vol|refs?)",
    re.IGNORECASE,
)
# A blank line, or a new item of a list.
_BREAK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*•]|\d{1,2}[.)])\s)")
# Stops with closing quotes before a blank; or a stop whose blank is missing: "clear.The heart".
_END = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|(?<=[a-z)])\.(?=[A-Z][a-z])")
_BULLET = re.compile(r"^[-*•]\s+")


def split_sentences(text: str) -> list[str]:
    """Sentences in order, whitespace collapsed, nothing lost but list bullets.

    Decimals, abbreviations ("approx.", "e.g.", "Dr."), initials and list numbers do not end a sentence; a blank line
    and a new list item do. "No." ends one unless a number follows.
    """
    sentences: list[str] = []
    for block in _BREAK.split(text):
        block = " ".join(_BULLET.sub("", block.strip()).split())
        ends = [match.end() for match in _END.finditer(block) if _ends_sentence(block, match)]
        sentences += [block[start:end].strip() for start, end in pairwise([0, *ends, len(block)])]
    return [sentence for sentence in sentences if any(letter.isalnum() for letter in sentence)]


def _ends_sentence(block: str, end: re.Match[str]) -> bool:
    rest = block[end.end() :].lstrip()
    if end[0][0] != "." or end[0].startswith(".."):
        is_apart = block[end.start() - 1 : end.start()] == " " and rest[:1].islower()  # a damaged dash, not a question
        return not is_apart
    words = block[: end.start()].split()
    word = words[-1].lstrip("(['\"") if words else ""
    if word.lower() in ("no", "nos"):  # "No. 3" goes on
        return not rest[:1].isdigit()
    before = words[-2].lower() if len(words) > 1 else "."
    # "by A. Smith", "J.R. Smith": a capital alone ends no sentence behind a title or another initial.
    is_initial = len(word) == 1 and word.isupper() and (before in ("by", "dr.", "prof.") or before[1:] == ".")
    # "... seen. 2. The heart": the number of a list item.
    is_list_number = word.isdigit() and before.endswith((".", "!", "?"))
    return not (_ABBREVIATION.fullmatch(word) or is_initial or is_list_number)


# --- which regions it speaks of --------------------------------------------------------------------------------------


CHUNK = re.compile(r"[,;:]|\b(?:and|with|but)\b", re.IGNORECASE)
"""What parts a sentence, for numbers and locations belong to their own part."""
_SOME = re.compile(r"\b(?:ones?|larg\w+|bigg\w+|small\w+|other|first|second|third)\b", re.IGNORECASE)  # of several


def ground_sentences(
    text: str,
    regions: Sequence[Region],
    tree: LabelTree,
    size_px: tuple[int, int] | None = None,
    *,
    min_score: float = MIN_SCORE,
    is_patient_side: bool = False,
    negation: Negation = "rules",
) -> tuple[Sentence, ...]:
    """Sentences of the text, each with the regions of the phrases that it affirms; joined by a blank they are the text.

    A region needs a score >= `min_score`. With `size_px` (width, height) given, location words ("upper left") pick
    among several regions of one phrase where at least one of them lies there. Where they do not name their frame ("of
    the image", "the patient's left") they are read as locations in the IMAGE, with `is_patient_side` as the patient's,
    whose left and right change sides, as in a radiograph or a slice in the usual view. `negation`: the engine that
    decides what is denied.
    """
    regions = [region for region in regions if region.score >= min_score]
    sentences: list[Sentence] = []
    for sentence in split_sentences(text):
        affirmed = blank_denied(sentence, negation)
        phrases = tree.phrases_in(affirmed)
        chosen: list[Region] = []
        for phrase in phrases:
            candidates = [region for region in regions if region.phrase == phrase]
            if size_px:  # those at one of the locations, or all of them when none is
                locations = locations_of(affirmed, phrase, tree, is_patient_side)
                cells = [set(where(region.box_xyxy_px, size_px).split()) for region in candidates]
                is_there = [any(location <= cell for location in locations) for cell in cells]
                candidates = [*compress(candidates, is_there)] or candidates
            chosen += candidates
        is_negated = not phrases and bool(tree.phrases_in(sentence))
        sentences.append(Sentence(text=sentence, regions=tuple(chosen), is_negated=is_negated))
    return tuple(sentences)


def locations_of(affirmed: str, phrase: str, tree: LabelTree, is_patient_side: bool = False) -> list[set[str]]:
    """Location words of the phrase in a sentence without what it denies; one set of words of the 3 x 3 grid a location.

        a nodule in the upper left lung, and an effusion on the right      nodule -> [{upper, left}]
        Two nodules, the larger one on the left.                           nodule -> []: that is one of the two

    Those of the phrase's own part of the sentence; if that has none, of the parts that do not speak of "the one".
    """
    parts = [part for part in CHUNK.split(affirmed) if LOCATION.search(part)]
    own = [part for part in parts if phrase in tree.phrases_in(part)]
    locations: list[set[str]] = []
    for part in own or [part for part in parts if not _SOME.search(part)]:
        # Names such as "left lung" go first: their side is the patient's and a part of the name, not a location.
        for start, stop, _ in reversed(tree.mentions_in(part)):
            part = part[:start] + BLANK + part[stop:] if LOCATION.search(part[start:stop]) else part
        locations += [read_location(match, is_patient_side) for match in LOCATION.finditer(part)]
    return locations
