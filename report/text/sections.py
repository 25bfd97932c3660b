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
        *("indication", "indications", "history", "clinical history", "clinical information", "clinical indication"),
        *("reason", "reason for exam", "reason for examination", "reason for the exam", "reason for study"),
        *("patient history", "indikation", "fragestellung"),
    ),
    "technique": ("technique", "techniques", "procedure", "technik"),
    "comparison": ("comparison", "comparisons", "comparison study", "compared to", "vergleich", "voraufnahmen"),
    "examination": ("examination", "exam", "type of examination", "study", "final report", "wet read", "notification"),
}
"""Our name of a section -> names it goes by in reports, in lower case."""

_OURS = {name: ours for ours, names in NAMES.items() for name in names}
# A line of one blank, capitals and a colon: " FINDINGS:".
_STRICT = re.compile(r"(?:\A|\n) (?! )([A-Z ()/,-]*[A-Z][A-Z ()/,-]*):(?=\s|\Z)")
# Any case and indent, for reports from elsewhere: "Befund:"; only known names count.
_LOOSE = re.compile(r"(?:\A|\n)[ \t]*([A-Za-z][A-Za-z /]{2,40}?)[ \t]*:(?=\s|\Z)")
# "CHEST, PA AND LATERAL": the text below a view is the findings.
_VIEW = re.compile(
    r"^chest$|\b(?:chest|portable|frontal|lateral|pa|ap)\b.*\b(?:chest|views?|radiographs?|lateral|pa|ap)\b"
)
_FIELDS = ("findings", "impression", "indication", "technique", "comparison")
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
    # (name, text) of every section in order; what stands before the first header has no name.
    headers = (_STRICT if is_strict else _LOOSE).finditer(text)
    marks = [match for match in headers if is_strict or section_name(match[1]) in NAMES]
    starts = [match.start() for match in marks] + [len(text)]
    parts = [(section_name(match[1]), text[match.end() : end]) for match, end in zip(marks, starts[1:], strict=True)]
    head = text[: starts[0]]
    if head.strip() or not parts:
        parts.insert(0, ("", head))
    # Of two sections of one name the last counts; empty findings and impressions do not.
    texts = {name: _join(part) for name, part in parts if name not in ("findings", "impression") or part.strip()}
    sections = {name: texts.get(name, "") for name in _FIELDS}
    sections["findings"] = sections["findings"] or texts.get("views", "")
    if sections["findings"] or sections["impression"]:
        return Sections(**sections)
    name, last = parts[-1]
    paragraph, *rest = _PARAGRAPH.split(last.strip(), maxsplit=1)
    if rest:
        if name in sections:
            sections[name] = _join(paragraph)  # the rest is no indication
        return Sections(**sections, last_paragraph=_join(rest[0]))
    has_own_text = name in ("", "findings", "impression", "examination")  # no first paragraph to take off
    return Sections(**sections, last_paragraph=_join(last) if has_own_text else "")


def section_name(header: str) -> str:
    """Our name of a header, in any case, slightly misspelt or with more words after it; `views` for a view.

    Headers with no name of ours keep their own, in lower case.
    """
    name = " ".join(header.lower().split())
    if name in _OURS:
        return _OURS[name]
    # Misspelt names first ("IMPRESION"), then names with more words behind them ("FINDINGS OF THE CHEST").
    if close := get_close_matches(name, _OURS, n=1, cutoff=0.86):
        return _OURS[close[0]]
    if first := _OURS.get(re.split(r"\W", name.lstrip("( "))[0]):
        return first
    return "views" if _VIEW.search(name) else name


def _join(text: str) -> str:
    return " ".join(text.split())
