"""Words for sides and places, each with its frame: the image's, as it is seen, or the patient's.

A bare "left" is the image's for one reader and the patient's for the next. Names of anatomy ("left lung") stay.
"""

import re

OTHER_SIDE = {"left": "right", "right": "left"}
LOCATION = re.compile(
    r"(?:(?P<before>image|picture|patient)['’ʼ]s )?"
    r"(?:\b(?:(?P<row>upper|lower|apical|basal)[ -]?)?(?P<side>left|right)\b"
    r"|\b(?P<cell>upper|lower|apical|basal|centre|center|central)\b)"
    r"(?:(?: (?:part|half|side|third|corner|edge))? (?:of|in) th(?:e|is) (?P<after>image|picture|patient)\b)?",
    re.IGNORECASE,
)
"""A location with its frame, where one stands beside it: "upper left of the image", "the patient's left", "basal"."""
_GRID = {"apical": "upper", "basal": "lower", "center": "centre", "central": "centre"}


def image_place(cell: str) -> str:
    """A cell of the image's 3 x 3 grid: "upper left of the image", "left part of the image", "centre of the image"."""
    return f"{cell if ' ' in cell or cell == 'centre' else f'{cell} part'} of the image"


def image_half(side: str) -> str:
    """The half of the image on its `left` or `right`."""
    return f"the image's {side} half"


def patient_side(side: str) -> str:
    """The `left` or `right` of the patient."""
    return f"the patient's {side}"


def read_location(match: re.Match[str], is_patient_side: bool = False) -> set[str]:
    """Words of the IMAGE's 3 x 3 grid that a match of `LOCATION` means; the patient's left is seen at its right.

    `is_patient_side`: whether left and right without a frame are the patient's.
    """
    frame = (match["before"] or match["after"] or ("patient" if is_patient_side else "image")).lower()
    words = [_GRID.get(word.lower(), word.lower()) for word in match.group("row", "side", "cell") if word]
    return {OTHER_SIDE.get(word, word) if frame == "patient" else word for word in words}
