"""Words for sides and places, each with its frame: the image's, as it is seen, or the patient's.

A bare "left" is the image's for one reader and the patient's for the next. Names of anatomy ("left lung") stay.
"""

import re
from typing import Literal

Frame = Literal["image", "patient"]
"""Whose left and right: the image's, as it is seen, or the patient's."""
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


_NOUN = r"(?: (?:part|half|side|third|corner|edge))"
# A side of its own: behind "the", "upper" or nothing, and no name of anatomy behind it ("left heart border").
_SIDED = re.compile(
    r"(?P<the>\bthe )?(?:(?P<before>image|picture|patient)['’ʼ]s )?(?:\b(?P<row>upper|lower)[ -]?)?"
    rf"\b(?P<side>left|right)\b(?P<noun>{_NOUN}?)(?: (?:of|in) th(?:e|is) (?P<after>image|picture|patient)\b)?"
    r"(?=\s*$|\s*[.,;:)\[]| (?:and|or|with|is|are|than|but)\b)",
    re.IGNORECASE,
)


def name_sides(text: str, bare: Frame, wanted: Frame | None = None, patient_left: str = "") -> str:
    """The text, each left and right with its frame: "on the left" -> "on the image's left"; names of anatomy stay.

    `bare`: whose a side is that names no frame. `wanted`: the frame to tell all sides in, where `patient_left` says at
    which side of the image ("left", "right") the patient's left is seen; where it does not, sides keep their frame.

        in the upper left part   -> in the upper left part of the image      the patient's upper right part
    """

    def told(match: re.Match[str]) -> str:
        named = (match["before"] or match["after"] or "").lower()
        is_alone = match.start() == 0 or match["the"] or match["row"]
        if not named and not is_alone:
            return match[0]  # "a left", "turn right": no place
        frame: Frame = "patient" if (named or bare) == "patient" else "image"
        side, own = match["side"].lower(), frame
        if wanted and wanted != frame and patient_left:
            own, side = wanted, side if patient_left == "left" else OTHER_SIDE[side]
        if named and own == frame:
            return match[0]
        words = _in_frame(own, (match["row"] or "").lower(), side, match["noun"].lower(), bool(match["the"]))
        return words[0].upper() + words[1:] if match[0][0].isupper() else words

    return _SIDED.sub(told, text)


def _in_frame(frame: Frame, row: str, side: str, noun: str, has_article: bool) -> str:
    cell = f"{row} {side}".strip() + noun
    if frame == "patient":
        return f"the patient's {cell}"
    return f"{'the ' * has_article}{cell} of the image" if row or noun else f"the image's {side}"


_FRAME = r"(?:of|in) th(?:e|is) (?:image|picture|patient)"
# "on the left?", "left of the heart", "the left side"; not "left lung", "left or right lung", "the image's left"
_BARE_SIDE = re.compile(
    rf"(?<!['’ʼ]s )\b(?P<side>left|right)\b(?!{_NOUN}? {_FRAME}\b)(?! (?:or|and) (?:the )?(?:left|right) [a-z])"
    rf"(?={_NOUN}?(?:\s*$|\s*[.,;:?)\[]| (?:and|or|with|is|are|than|but|of|in)\b))",
    re.IGNORECASE,
)


def turn_sides(question: str) -> str:
    """The question with every left and right that names no frame turned: "on the left?" -> "on the right?".

    So what means the patient's, whose left is seen at the image's right, is told in the image. Names of anatomy stay.
    """
    return _BARE_SIDE.sub(lambda match: OTHER_SIDE[match["side"].lower()], question)
