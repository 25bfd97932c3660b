"""Labels as DICOM codes: SNOMED CT where pydicom's dictionary knows the label by its own name, else a private code.

Synonyms are not tried: "lung cancer" is narrower than our "lung tumor", and a code that says more than the image is
worse than none. The side of a label ("left lung") is a modifier, as DICOM's templates have it (PS3.16, TID 1410 and
CID 244). Needs highdicom.
"""

import re

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from ...grounding.vocabulary.labels import load_labels

SCHEME = "99MEDGLIP"
"""Designator of our private codes: labels as the label tree has them."""
_OTHER_MEANING = ("radius", "ventricle")
"""Labels whose name is another thing in the dictionary: a length, and the heart's chamber."""


def concept(phrase: str) -> CodedConcept:
    """The code of a phrase, without its side where the rest is a SNOMED CT concept (`side` has it).

        nodule -> SCT Nodule      left lung -> SCT Lung, side Left      blue spot -> 99MEDGLIP blue-spot

    A private code's meaning are the phrase's own words.
    """
    label = load_labels().label(phrase) or phrase
    if (known := _snomed(label) or _snomed(label.removeprefix("left ").removeprefix("right "))) is not None:
        return CodedConcept.from_code(known)
    private = re.sub(r"[^a-z0-9]+", "-", phrase.lower())[:64].strip("-")
    return CodedConcept(private or "region", SCHEME, shorten(phrase))


def side(phrase: str) -> CodedConcept | None:
    """Left or right (the patient's), where `concept` left it out; None for one without a side or that holds it."""
    label = load_labels().label(phrase) or phrase
    rest = label.removeprefix("left ").removeprefix("right ")
    if rest == label or _snomed(label) is not None or _snomed(rest) is None:
        return None
    return CodedConcept.from_code(codes.SCT.Left if label.startswith("left ") else codes.SCT.Right)


def shorten(text: str) -> str:
    """The text as DICOM's long strings allow it: at most 64 characters, no backslash, no line break."""
    return " ".join(text.replace("\\", "/").split())[:64]


def _snomed(label: str) -> Code | None:
    """The SNOMED CT concept of this name, which is a keyword of the dictionary ("PleuralEffusion")."""
    keyword = "".join(word.capitalize() for word in re.findall(r"[a-z0-9]+", label.lower()))
    return None if label in _OTHER_MEANING else getattr(codes.SCT, keyword, None)
