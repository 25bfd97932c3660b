"""Report text -> its sections, by the rules of the MIT-LCP parser of MIMIC-CXR, written anew.

Rules (github.com/MIT-LCP/mimic-cxr, `txt/section_parser.py`, MIT licence; Johnson et al., MIMIC-CXR, Sci Data 2019):
a header is a line that begins with exactly one blank, capital letters, a colon and white space; its name is mapped to
a common one; of two sections of one name the last counts; empty findings and impressions do not; where there are no
findings, the text under a view ("CHEST, PA AND LATERAL:") is them; without findings and impression, what follows the
first paragraph of the last section is the last paragraph. Theirs lists hand-made exceptions by study id, which are not
repeated here, and passes over a header right below another, which is read here.

Reports from elsewhere (`is_strict=False`): headers in any case and at any indent, if the name is a known one.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from ...grounding.bad_input import BadInput

NAMES: dict[str, tuple[str, ...]] = {
    "findings": ("findings", "finding", "findings and impression", "findings/impression", "report", "befund"),
    "impression": ("impression", "impressions", "conclusion", "conclusions", "summary", "opinion", "beurteilung"),
    "indication": (
        "indication",
        "indications",
        "history",
        "clinical history",
        "clinical information",
        "clinical indication",
        "reason",
        "reason for exam",
        "reason for examination",
        "reason for the exam",
        "reason for study",
        "patient history",
        "indikation",
        "fragestellung",
    ),
    "technique": ("technique", "techniques", "procedure", "technik"),
    "comparison": ("comparison", "comparisons", "comparison study", "compared to", "vergleich", "voraufnahmen"),
    "examination": ("examination", "exam", "type of examination", "study", "final report", "wet read", "notification"),
}
"""Our name of a section -> names it goes by in reports, in lower case."""

_CALLED = {name: ours for ours, names in NAMES.items() for name in names}
_STRICT = re.compile(r"(?:\A|\n) (?! )([A-Z ()/,-]*[A-Z][A-Z ()/,-]*):(?=\s|\Z)")
_LOOSE = re.compile(r"(?:\A|\n)[ \t]*([A-Za-z][A-Za-z /]{2,40}?)[ \t]*:(?=\s|\Z)")
_VIEW = re.compile(
    r"^chest$|\b(?:chest|portable|frontal|lateral|pa|ap)\b.*\b(?:chest|views?|radiographs?|lateral|pa|ap)\b"
)
_PARAGRAPH = re.compile(r"\n[ \t]*\n")


@dataclass(frozen=True, kw_only=True)
class Sections:
    """The sections of one report, white space collapsed, "" where there is none.

    `last_paragraph` alone stands where there are neither findings nor impression.
    """

    findings: str = ""
    impression: str = ""
    last_paragraph: str = ""
    indication: str = ""
    technique: str = ""
    comparison: str = ""


def parse_sections(text: str, *, is_strict: bool = True) -> Sections:
    """The sections of a whole report. Raises `BadInput` for a text without a word."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not any(letter.isalnum() for letter in text):
        raise BadInput("an empty report.", fix="leave the study out, or give its text")
    parts = _parts(text, _STRICT if is_strict else _LOOSE, is_strict)
    found = {name: _flat(part) for name, part in parts if name not in ("findings", "impression") or part.strip()}
    known = {name: found.get(name, "") for name in ("findings", "impression", "indication", "technique", "comparison")}
    known["findings"] = known["findings"] or found.get("views", "")
    if known["findings"] or known["impression"]:
        return Sections(**known)
    name, last = parts[-1]
    rest = _PARAGRAPH.split(last.strip(), maxsplit=1)
    is_bare = name == "" or name in ("findings", "impression", "examination")  # no paragraph to take off
    kept = rest[1] if len(rest) > 1 else (last if is_bare else "")
    if len(rest) > 1 and name in known:
        known[name] = _flat(rest[0])  # the rest is no indication
    return Sections(**known, last_paragraph=_flat(kept))


def _parts(text: str, header: re.Pattern[str], is_strict: bool) -> list[tuple[str, str]]:
    """(name, text) of every section in order; what stands before the first header has no name."""
    marks = [match for match in header.finditer(text) if is_strict or _known(match[1])]
    ends = [match.start() for match in marks[1:]] + [len(text)]
    parts = (
        [(named(match[1]), text[match.end() : end]) for match, end in zip(marks, ends, strict=True)] if marks else []
    )
    head = text[: marks[0].start()] if marks else text
    return ([("", head)] if head.strip() or not parts else []) + parts


def named(header: str) -> str:
    """Our name of a header, in any case, slightly misspelt or with more words after it; `views` for a view.

    Headers with no name of ours keep their own, in lower case.
    """
    name = " ".join(header.lower().split())
    if name in _CALLED:
        return _CALLED[name]
    if close := get_close_matches(name, _CALLED, n=1, cutoff=0.86):
        return _CALLED[close[0]]
    if first := _CALLED.get(re.split(r"\W", name.lstrip("( "))[0]):
        return first
    return "views" if _VIEW.search(name) else name


def _known(header: str) -> bool:
    return named(header) in NAMES


def _flat(text: str) -> str:
    return " ".join(text.split())
