"""What sentences state, held against what is true of a picture or stated elsewhere: rules, for truth that is exact.

A statement says of one phrase that it is there, how often, in which places, or that it is not there. Every verdict has
the form that RadFact's measures read (`meta.radfact` of a record); it is RadFact's question, answered by rules.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...grounding.evidence.render import where
from ...grounding.geometry import area
from ...grounding.grounder import true_regions
from ...grounding.types import AnnotatedImage, Region
from ...grounding.vocabulary.labels import LabelTree, load_labels
from ..task import Report, Sentence
from .negation import affirmed
from .sentences import CHUNK, places_said

_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_NUMBER = re.compile(rf"\b({'|'.join(_NUMBERS)})\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Statement:
    """One phrase: there `number` times, 0 for not there, None for once or more. `places`: words of the 3 x 3 grid.

    `regions`: where it is, as boxes.
    """

    phrase: str
    number: int | None = None
    places: tuple[frozenset[str], ...] = ()
    regions: tuple[Region, ...] = ()

    def bears_out(self, other: "Statement") -> bool:
        """Whether the other follows: same phrase, there or not there; the number and every place it names."""
        if self.phrase != other.phrase or (self.number == 0) != (other.number == 0):
            return False
        is_placed = all(any(place <= known for known in self.places) for place in other.places)
        return other.number in (None, self.number) and is_placed


def statements(sentence: Sentence) -> tuple[Statement, ...]:
    """What a sentence states of each phrase of the label tree that it names; a number or place belongs to its part."""
    tree, said = load_labels(), affirmed(sentence.text)
    there = tree.phrases_in(said)
    denied = [phrase for phrase in tree.phrases_in(sentence.text) if phrase not in there]
    return (
        *(_there(sentence, said, phrase, tree) for phrase in there),
        *(Statement(phrase=phrase, number=0) for phrase in denied),
    )


def _there(sentence: Sentence, said: str, phrase: str, tree: LabelTree) -> Statement:
    own = [part for part in CHUNK.split(said) if phrase in tree.phrases_in(part)]
    counted = next((found[1].lower() for part in own for found in _NUMBER.finditer(part)), "")
    return Statement(
        phrase=phrase,
        number=_NUMBERS.get(counted),
        places=tuple(frozenset(place) for place in places_said(said, phrase, tree)),
        regions=tuple(region for region in sentence.regions if region.phrase == phrase),
    )


def truth_of_image(image: AnnotatedImage) -> tuple[Statement, ...]:
    """Every phrase that the set annotates on the picture: how often it is there, and where."""
    found: list[Statement] = []
    for phrase in image.phrases:
        regions = tuple(true_regions(image, [phrase]))
        places = (frozenset(where(region.box_xyxy_px, image.size_px).split()) for region in regions)
        found.append(Statement(phrase=phrase, number=len(regions), places=tuple(places), regions=regions))
    return tuple(found)


def finding_labels(reports: Sequence[Report]) -> tuple[str, ...]:
    """Findings that are annotated, present or not, on the pictures of these reports, sorted; none: nothing is exact."""
    phrases = {phrase for report in reports for phrase in report.image.phrases}
    return tuple(sorted(phrase for phrase in phrases if load_labels().level(phrase) == "finding"))


def judged(report: Report, written: Sequence[Sentence], labels: Sequence[str]) -> dict[str, Any]:
    """`labels` and `radfact` of a record's `meta`: what was written, with its regions, against the picture's truth.

    Labels: 1 where a true region has it, and where the text affirms it. RadFact: a written sentence is entailed if it
    states something and the picture's truth, said in the reference or not, bears all of it out; a sentence of the
    reference, if what was written does. Boxes in [0, 1] of the image.
    """
    image, truth = report.image, truth_of_image(report.image)
    stated = [statement for sentence in written for statement in statements(sentence)]
    present = {statement.phrase for statement in truth if statement.number}
    affirms = {statement.phrase for statement in stated if statement.number != 0}
    marks = {"reference": present, "prediction": affirms}
    return {
        "labels": {side: {name: int(name in found) for name in labels} for side, found in marks.items()},
        "radfact": {
            "candidate": [_verdict(sentence, truth, image.size_px) for sentence in written],
            "reference": [_verdict(sentence, stated, image.size_px) for sentence in report.sentences],
        },
    }


def _verdict(sentence: Sentence, known: Sequence[Statement], size_px: tuple[int, int]) -> dict[str, Any]:
    """One phrase of `meta.radfact`."""
    stated = statements(sentence)
    borne_out = [[one for one in known if one.bears_out(claim)] for claim in stated]
    is_entailed = bool(stated) and all(borne_out)
    evidence = [region for found in borne_out for one in found for region in one.regions] if is_entailed else []
    return {
        "phrase": sentence.text,
        "status": "entailed" if is_entailed else "not_entailed",
        "boxes": _boxes(sentence.regions, size_px),
        "evidence_boxes": _boxes(evidence, size_px),
    }


def _boxes(regions: Sequence[Region], size_px: tuple[int, int]) -> list[list[float]]:
    """Parts of the image's width and height, none empty."""
    width, height = size_px
    parts = [region.box_xyxy_px / [width, height, width, height] for region in regions]
    return [[round(float(x), 4) for x in part.clip(0, 1)] for part in parts if float(area(part.clip(0, 1))) > 0]
