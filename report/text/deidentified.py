"""De-identification marks in reports: `___` (MIMIC-CXR), `XXXX` (Open-i), `[** ... **]` (older MIMIC notes).

They stand where names, dates and, in Open-i, many ordinary words were taken out. A model trained on them writes them,
and n-gram scores count them, so one policy serves both sides: the reader applies it to prompts, targets and references,
`as_reference` to the generated text, and every record holds policy and number of marks (`meta.deidentified`).

The protocol `r2gen` of the scores deletes `___` of MIMIC-CXR and keeps `xxxx` of IU X-ray as a word; take `keep` to
compare with figures published under it.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

Policy = Literal["keep", "same", "remove"]
"""`keep`: as written. `same`: every mark as `___`. `remove`: taken out, with "from", "Dr." ... that lose their word."""

MARK = r"(?:\[\*\*.*?\*\*\]|_{2,}|(?<![^\W_])[Xx]{4,}(?![^\W_]))"
"""One mark; letters that only hold four x are none."""
_MARK = re.compile(rf"{MARK}+", re.DOTALL)  # marks side by side are one
# With what hangs on a mark: "x-XXXX", "XXXX-XXXX", "XXXX/XXXX".
_GLUED = re.compile(rf"(?:\b[A-Za-z]-|[-/])?{MARK}(?:[-/]?{MARK})*[-/]?", re.DOTALL)
_LEADS = r"(?:from|on|at|dated|since|by|to|with|Dr\.?|Mrs?\.?|Ms\.?)"
# "at ___ a.m." goes as a whole; a stop that ends the sentence stays.
_TIME = re.compile(rf"\bat\s+{MARK}\s*[ap]\.?m\b(?:\.(?=\s+[a-z]))?", re.DOTALL)
# "compared to the study from ___." -> "compared to the study.": words that lose what they lead to.
_LOOSE = re.compile(
    rf"(?:\b{_LEADS}\s+)+{MARK}(?:[\s/-]*{MARK})*(?=\s*(?:[.,;:)]|$|{_LEADS}\b))", re.IGNORECASE | re.DOTALL
)
_TIDY = (
    (re.compile(r"\(\s*[-,;:.]*\s*\)"), " "),  # empty brackets
    (re.compile(r"\s+"), " "),
    (re.compile(r"\s+(?=[.,;:)])"), ""),  # blank before a stop
    (re.compile(r"(?<=[.,;:])(?:[,;:]+|\.(?!\.))"), ""),  # stop after a stop, but not "..."
    (re.compile(r"(?<=\()\s+"), ""),
    (re.compile(r"^[\s.,;:]+"), ""),  # stop at the beginning
)


def num_marks(text: str) -> int:
    """How many marks the text holds."""
    return len(_MARK.findall(text))


def apply_policy(text: str, policy: Policy) -> str:
    """The text under the policy; a text without marks is returned as it is."""
    if policy == "keep" or not _MARK.search(text):
        return text
    if policy == "same":
        return _MARK.sub("___", text)
    text = _GLUED.sub(" ", _LOOSE.sub(" ", _TIME.sub(" ", text)))
    # The blanks, brackets and stops that a mark leaves behind; no pass makes it longer, so that repeating it ends.
    before = None
    while before != text:
        before = text
        for pattern, instead in _TIDY:
            text = pattern.sub(instead, text)
        text = text.strip()
    return text


def note(text: str, policy: Policy) -> dict[str, Any]:
    """What a report's record holds of its marks: the policy and how many the text had as it was written."""
    return {"policy": policy, "marks": num_marks(text)}


def as_reference(text: str, meta: Mapping[str, Any]) -> str:
    """A generated text under the policy of the reference it is scored against; as it is where there is none."""
    return apply_policy(text, meta.get("deidentified", {}).get("policy", "keep"))
