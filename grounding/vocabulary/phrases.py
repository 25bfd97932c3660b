"""Words of a phrase: its description beside it, left and right under a flip."""

import re

from .labels import LabelTree


def with_description(phrase: str, tree: LabelTree) -> str:
    """The phrase with how it looks, "polyp: rounded raised bump on the pink lining"; unchanged if it is unknown."""
    description = tree.description(phrase)
    return f"{phrase}: {description}" if description else phrase


_TWINS = {"left": "right", "lt": "rt", "lul": "rul", "lll": "rll", "lml": "rml", "l": "r"}
_TWINS |= {twin: word for word, twin in _TWINS.items()}
_ANATOMY = (
    r"(?:ventric(?:le|les|ular)|atri(?:um|al|a)|heart(?! border)|coronary|(?:liver|hepatic) lobes?"
    r"|lobes? of (?:the )?liver)"
)
# "left", "Lt." before a space, lobes by letters, "L" before a word; not "left ventricle", whose side is its shape.
_SIDE = re.compile(
    rf"(?<![A-Za-z])(?:(left|Left|LEFT|right|Right|RIGHT)(?![ _-]+{_ANATOMY}(?![A-Za-z]))"
    r"(?=(?:most|wards?)?(?![A-Za-z]))"
    r"|([LlRr]t|LT|RT)(?=\.|[ _]+[A-Za-z])"
    r"|([LR][UML]L|[lr][uml]l)(?![A-Za-z])"
    r"|([LR])(?=\.?[ ]+[A-Za-z]))"
)


def mirror(phrase: str) -> str:
    """The phrase as it reads for an image flipped left to right.

    Left and right, lt. and rt., L and R, and lobes by letters (LLL) change sides; "bilateral" stays. So do the names
    of chambers and lobes that are known by their shape: a flipped left ventricle still looks like a left ventricle.
    Twice mirrored is unchanged.
    """

    def other_side(match: re.Match[str]) -> str:
        word, twin = match[0], _TWINS[match[0].lower()]
        return twin.upper() if word.isupper() else twin.capitalize() if word[0].isupper() else twin

    return _SIDE.sub(other_side, phrase)


def has_side(phrase: str) -> bool:
    """Whether a flip of the image changes what the phrase says."""
    return _SIDE.search(phrase) is not None
