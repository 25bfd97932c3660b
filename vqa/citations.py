"""Answers that cite the regions they rest on: "liver [1, 3]". Written into targets, and read out of answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..grounding.evidence.evidence import Evidence, EvidenceSettings
from ..grounding.types import Region, region_to_json

CITE = "Cite the regions you use by number, like [1]."
"""Follows the instruction where an answer may cite."""
_CITATION = re.compile(r"\s*\[\s*([0-9]{1,4}(?:[\s,;]+[0-9]{1,4})*)\s*\]")


@dataclass(frozen=True, kw_only=True)
class Citations:
    """A text without its citations, the regions it cites and those that were not there; none twice, as first cited.

    `num_shown`: regions that could be cited.
    """

    text: str
    cited: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    num_shown: int = 0


def parse_citations(text: str, num_regions: int) -> Citations:
    """What a text cites, where regions 1 to `num_regions` were shown: `[1]`, `[2, 3]`, `[1][2]`.

    Only for models that were told to cite: a box as four whole numbers in brackets reads as four citations.
    """
    found = [int(number) for group in _CITATION.findall(text) for number in re.findall("[0-9]+", group)]
    numbers = dict.fromkeys(found)
    return Citations(
        text=_CITATION.sub("", text).strip(),
        cited=tuple(number for number in numbers if 1 <= number <= num_regions),
        missing=tuple(number for number in numbers if not 1 <= number <= num_regions),
        num_shown=num_regions,
    )


def with_citations(text: str, numbers: Sequence[int]) -> str:
    """The text with its citations behind it: `liver [1, 3]`; unchanged without any. `parse_citations` undoes it."""
    return f"{text} [{', '.join(map(str, numbers))}]" if numbers else text


def numbers_shown(shown: Evidence, settings: EvidenceSettings) -> tuple[int, ...]:
    """Numbers of the regions that a prompt shows with a number, from 1; crops have none."""
    has_numbers = shown.source != "none" and bool({"text", "tokens", "overlay"} & set(settings.forms))
    return tuple(range(1, len(shown.numbered) + 1)) if has_numbers else ()


def numbers_asked(shown: Evidence, settings: EvidenceSettings) -> tuple[int, ...]:
    """Numbers of the shown regions whose phrase the question asks about: what a target cites."""
    numbers = numbers_shown(shown, settings)
    return tuple(number for number in numbers if shown.numbered[number - 1][1].phrase in shown.phrases)


def citations_to_json(citations: Citations, shown: Evidence, truth: Evidence | None = None) -> dict[str, Any]:
    """For a record's meta, and scored: numbers `cited` and `missing` (an answer with missing ones is in error), how
    many were `shown`, the `regions` cited; one that is not in the first image has the number of its `image`.

    `truth`: what is true of the pictures as they were shown. A region whose phrase is among its phrases has `truth`,
    the true boxes of that phrase, none where it is not there.
    """
    regions = [
        {"number": number} | region_to_json(region) | {"mask_rle": None} | _place(image) | _truth(region, image, truth)
        for number, (image, region) in ((number, shown.numbered[number - 1]) for number in citations.cited)
    ]
    numbers = {"cited": list(citations.cited), "missing": list(citations.missing), "shown": citations.num_shown}
    return {**numbers, "regions": regions}


def _place(image: int) -> dict[str, int]:
    return {"image": image} if image > 1 else {}


def _truth(region: Region, image: int, truth: Evidence | None) -> dict[str, Any]:
    known = truth.images[image - 1 : image] if truth else ()
    if not any(region.phrase in part.phrases for part in known):
        return {}
    boxes = [r.box_xyxy_px.tolist() for part in known for r in part.regions if r.phrase == region.phrase]
    return {"truth": [[round(x, 2) for x in box] for box in boxes]}
