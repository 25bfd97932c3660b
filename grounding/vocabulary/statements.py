"""What sentences state, held against what is true of an image or stated elsewhere: rules, for truth that is exact.

A statement says of one phrase that it is there, how often, at which locations, or that it is not there. Every verdict
has the form that RadFact's measures read (`meta.radfact` of a record); it is RadFact's question, answered by rules.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..geometry import area, where
from ..types import Region
from .labels import load_labels
from .negation import blank_denied
from .sentences import CHUNK, Sentence, locations_of

_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_NUMBER = re.compile(rf"\b({'|'.join(_NUMBERS)})\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Statement:
    """One phrase: there `number` times, 0 for not there, None for once or more.

    `locations`: each as words of the 3 x 3 grid; `regions`: where it is, as boxes.
    """

    phrase: str
    number: int | None = None
    locations: tuple[frozenset[str], ...] = ()
    regions: tuple[Region, ...] = ()

    def entails(self, other: "Statement") -> bool:
        """Whether the other follows: same phrase, there or not there; the number and every location it names."""
        if self.phrase != other.phrase or (self.number == 0) != (other.number == 0):
            return False
        is_located = all(any(location <= known for known in self.locations) for location in other.locations)
        return other.number in (None, self.number) and is_located


def read_statements(sentence: Sentence) -> tuple[Statement, ...]:
    """What a sentence states of each phrase of the label tree that it names, affirmed ones first.

    A number or location belongs to its own part of the sentence: "two nodules and an opacity" are not two opacities.
    """
    tree, affirmed = load_labels(), blank_denied(sentence.text)
    statements: list[Statement] = []
    for phrase in tree.phrases_in(affirmed):
        parts = [part for part in CHUNK.split(affirmed) if phrase in tree.phrases_in(part)]
        number = next((match[1].lower() for part in parts for match in _NUMBER.finditer(part)), "")
        statements.append(
            Statement(
                phrase=phrase,
                number=_NUMBERS.get(number),
                locations=tuple(frozenset(location) for location in locations_of(affirmed, phrase, tree)),
                regions=tuple(region for region in sentence.regions if region.phrase == phrase),
            )
        )
    named = {statement.phrase for statement in statements}
    # What is affirmed in one part and denied in another counts as affirmed.
    denied = [phrase for phrase in tree.phrases_in(sentence.text) if phrase not in named]
    return (*statements, *(Statement(phrase=phrase, number=0) for phrase in denied))


def state_regions(phrase: str, regions: Sequence[Region], size_px: tuple[int, int]) -> Statement:
    """What the regions of a phrase, all there are in an image of (width, height), state of it."""
    locations = tuple(frozenset(where(region.box_xyxy_px, size_px).split()) for region in regions)
    return Statement(phrase=phrase, number=len(regions), locations=locations, regions=tuple(regions))


def judge_sentence(sentence: Sentence, known: Sequence[Statement], size_px: tuple[int, int]) -> dict[str, Any]:
    """One phrase of `meta.radfact`: entailed if the sentence states something and what is known bears all of it out.

    Boxes are in [0, 1] of the image, cut at its edge; empty ones are left out.
    """
    supports = [[one for one in known if one.entails(claim)] for claim in read_statements(sentence)]
    is_entailed = bool(supports) and all(supports)
    evidence = [region for support in supports for one in support for region in one.regions] if is_entailed else []
    return {
        "phrase": sentence.text,
        "status": "entailed" if is_entailed else "not_entailed",
        "boxes": _relative_boxes(sentence.regions, size_px),
        "evidence_boxes": _relative_boxes(evidence, size_px),
    }


def _relative_boxes(regions: Sequence[Region], size_px: tuple[int, int]) -> list[list[float]]:
    width, height = size_px
    boxes = [(region.box_xyxy_px / [width, height, width, height]).clip(0, 1) for region in regions]
    return [[round(float(x), 4) for x in box] for box in boxes if float(area(box)) > 0]
