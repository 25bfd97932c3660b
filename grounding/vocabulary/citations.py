"""Answers that cite the regions they rest on: "liver [1, 3]". Written into targets, and read out of answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
    groups = _CITATION.findall(text)  # "[2, 3]" is one group of two numbers
    numbers = dict.fromkeys(int(number) for group in groups for number in re.findall("[0-9]+", group))
    return Citations(
        text=_CITATION.sub("", text).strip(),
        cited=tuple(number for number in numbers if 1 <= number <= num_regions),
        missing=tuple(number for number in numbers if not 1 <= number <= num_regions),
        num_shown=num_regions,
    )


def with_citations(text: str, numbers: Sequence[int]) -> str:
    """The text with its citations behind it: `liver [1, 3]`; unchanged without any. `parse_citations` undoes it."""
    return f"{text} [{', '.join(map(str, numbers))}]" if numbers else text
