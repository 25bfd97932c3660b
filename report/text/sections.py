"""Report text -> its sections: by the published rules of MIMIC-CXR, written anew, or by ours for other reports.

MIMIC-CXR (github.com/MIT-LCP/mimic-cxr, `txt/section_parser.py`, MIT licence; Johnson et al., Sci Data 2019), followed
letter by letter: a header is a line break, one blank or more, capital letters, a colon and white space; a header in the
line right below an empty one is passed over. Names are mapped to common ones ("FINDINGS AND IMPRESSION" is the
impression, a view such as "CHEST, PA AND LATERAL" the findings). Empty findings and impressions do not count; of two
sections of one name the last does. Without either, what stands below the first blank line (one blank in it) of the last
section is the last paragraph, so a report of one paragraph without headers gives none. What differs, on purpose: their
exceptions by study id are not repeated, `history` serves as `indication` where there is none, and white space is
collapsed.

Reports from elsewhere (`is_strict=False`): known names in any case at the start of a line, at any indent, numbered or
in brackets, with a colon (no blank is needed behind it; it may begin the next line), or alone in their line; within a
line with a colon behind a stop, or in capitals; "Findings:" and "Impression:" need no stop, but are none in "other
findings:". Prose that says
"findings" without a colon is not cut, and of sections of one name all text is kept.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from ...grounding.bad_input import BadInput

NAMES: dict[str, tuple[str, ...]] = {
    "findings": ("findings", "finding", "report", "befund", "befunde"),
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
"""Our name of a section -> names it goes by in reports from elsewhere, in lower case."""
_OURS = {name: ours for ours, names in NAMES.items() for name in names}
_FIELDS = ("findings", "impression", "indication", "technique", "comparison")


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
    return _parse_mimic(text) if is_strict else _parse_loose(text)


def _join(text: str) -> str:
    return " ".join(text.split())


# --- MIMIC-CXR -------------------------------------------------------------------------------------------------------

_MIMIC_HEADER = re.compile(r"\n ([A-Z ()/,-]+):\s")
_MIMIC_NAMES: dict[str, tuple[str, ...]] = {
    "impression": (
        *("impression", "conclusion", "findings and impression", "findings/impression", "findings/ impression"),
        *("ndication", "impresson", "imprression", "imoression", "impressoin", "imprssion", "impresion", "imperssion"),
        *("mpression", "impession"),
    ),
    "findings": (
        *("findings", "finding", "chest, two views", "reference findings", "findins", "findindgs", "findgings"),
        *("findngs", "findnings", "finidngs"),
    ),
    "indication": ("indication", "reason for examination", "reason for exam", "clinical indication", "idication"),
    "history": ("history", "clinical history", "clinical information", "patient history", "pfi"),
    "comparison": (
        *("comparison", "comparisons", "reference exam", "comparison exam", "comparison film", "comparision"),
        *("comparsion", "comparrison", "comparisions"),
    ),
    "examination": ("examination", "exam", "type of examination"),
    "recommendations": ("recommendation(s)", "recommendations", "recommendation"),
    "wet read": ("wet read", "wetread"),
    "conclusion": ("concusion", "coinclusion"),  # theirs: a misspelt conclusion is no impression
}
"""Their common name -> their frequent and misspelt names."""
_COMMON = {name: common for common, names in _MIMIC_NAMES.items() for name in names}
_MAIN = ("impression", "findings", "history", "comparison", "addendum")
_VIEW = re.compile(
    r"chest|portable|pa and lat|lateral and pa|ap and lateral|lateral and ap|frontal and|two views|frontal view|pa view"
    r"|ap view|one view|lateral view|bone window|frontal upright|frontal semi-upright|ribs"
)


def mimic_name(header: str) -> str:
    """The common name of a header of MIMIC-CXR; one without keeps its own, in lower case."""
    name = header.lower().strip()
    if name in _COMMON:
        return _COMMON[name]
    if main := next((main for main in _MAIN if main in name), ""):
        return main
    return "findings" if _VIEW.search(name) else name


def _parse_mimic(text: str) -> Sections:
    marks: list[re.Match[str]] = []
    at = 0
    while mark := _MIMIC_HEADER.search(text, at):
        marks.append(mark)
        at = max(text.find("\n", mark.end()), mark.end())  # from the next line break on
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    parts = [("", text[: marks[0].start(1)] if marks else text)]
    parts += [(mimic_name(mark[1]), text[mark.end() : end]) for mark, end in zip(marks, ends, strict=False)]
    parts = [(name, part) for name, part in parts if name not in ("findings", "impression") or part.strip()]
    sections, last = dict(parts), ""
    if not sections.keys() & {"findings", "impression"}:
        sections[parts[-1][0]], _, last = parts[-1][1].partition("\n \n")
    texts = {name: _join(sections.get(name, "")) for name in (*_FIELDS, "history")}
    history = texts.pop("history")
    return Sections(**texts | {"indication": texts["indication"] or history}, last_paragraph=_join(last))


# --- reports from elsewhere ------------------------------------------------------------------------------------------

_AND = r"[ \t]*(?:[/&,+]|\b(?:and|und)\b)[ \t]*"
_NAME = "|".join(re.sub(" ", r"[ \\t]+", name) for name in sorted(_OURS, key=len, reverse=True))
_NAMES = rf"(?:{_NAME})(?:{_AND}(?:{_NAME})){{0,3}}"
# At the start of a line: "## Befund:", "FINDINGS OF THE CHEST:", "Impression - ", "2. [Impression]", "FINDINGS" alone.
_LINE = re.compile(
    r"^[ \t>#*_•-]*(?:\(?(?:\d{1,2}|[IVX]{1,4})[.)][ \t*_]*)?\[?(?P<name>[^\W\d_](?:[^\n:：\]]{0,60}?[^\W_])??\)?)"
    r"[ \t*_]*(?:\]?\s{0,9}(?P<colon>[:：])[*_]*|(?P<dash>[ \t][-–—][ \t]|\])|(?P<alone>$))",
    re.MULTILINE,
)
_WITHIN = re.compile(rf"(?<!\w)(?P<name>{_NAMES})[ \t*_]*[:：][*_]*", re.IGNORECASE)
_WITH_MORE = re.compile(rf"({_NAMES})[ \t]*(?:[(,/-]|\b(?:of|on|for|in|from)\b)", re.IGNORECASE)
_UNDERLINE = re.compile(r"^[ \t]*[-=_*~]{3,}[ \t]*$", re.MULTILINE)
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_PART_OF_PROSE = re.compile(
    r"\b(?:the|an?|no|my|our|of|see|and|or|other|incidental|additional|associated|overall|clinical|prior|previous|im|kein)$",
    re.IGNORECASE,
)
_STOPS = ".;:!?)]\n"


def section_name(header: str, is_exact: bool = False) -> str:
    """Our name of a header of other reports, in any case, slightly misspelt or with more words after it; "" for none.

    Of several names in one ("Findings and impression", "Technique/comparison") the impression counts, else the first.
    """
    name = _join(header.lower())
    ours = [_OURS.get(part, "") for part in re.split(r"\s*(?:[/&,+]|\b(?:and|und)\b)\s*", name)]
    if all(ours):
        return "impression" if "impression" in ours else ours[0]
    if is_exact:
        return ""
    # Misspelt names first ("IMPRESION"), then names with more words behind them ("FINDINGS OF THE CHEST").
    if close := get_close_matches(name, _OURS, n=1, cutoff=0.86):
        return _OURS[close[0]]
    more = _WITH_MORE.match(name)
    return section_name(more[1], is_exact=True) if more else ""


def _find_headers(text: str) -> Iterator[tuple[int, int, str]]:
    """[start, end) of each header, and our name of it; those of lines and those within them."""
    for match in _LINE.finditer(text):
        is_sure = match["colon"] is not None
        if (is_sure or match["name"][0].isupper()) and (name := section_name(match["name"], is_exact=not is_sure)):
            yield match.start(), match.end(), name
    for match in _WITHIN.finditer(text):
        before, header = text[max(0, match.start() - 40) : match.start()].rstrip(" \t*_"), match["name"]
        name, is_begin = section_name(header, is_exact=True), not before or before[-1] in _STOPS
        # "cough FINDINGS: clear", "cough Findings: clear"; not "cough findings: clear", "INCIDENTAL FINDINGS: a cyst"
        is_known = header[0].isupper() and name in ("findings", "impression")
        if is_begin or ((header.isupper() or is_known) and not _PART_OF_PROSE.search(before)):
            yield match.start(), match.end(), name


def _parse_loose(text: str) -> Sections:
    text = _UNDERLINE.sub("", text)
    parts, start, name = list[tuple[str, str]](), 0, ""
    for begin, end, next_name in sorted(_find_headers(text)):
        if begin >= start:  # one that was found both ways comes twice
            parts.append((name, text[start:begin]))
            start, name = end, next_name
    parts.append((name, text[start:]))
    texts = defaultdict[str, list[str]](list)
    for name, part in parts:
        texts[name].append(part)
    sections = {name: _join(" ".join(texts[name])) for name in _FIELDS}
    if sections["findings"] or sections["impression"]:
        return Sections(**sections)
    # No findings and no impression: what stands before the headers, and below the first paragraph of the last one.
    name, last = parts[-1]
    paragraph, *rest = _PARAGRAPH.split(last.strip(), maxsplit=1)
    is_title = not paragraph.endswith((".", "!", "?")) and bool(rest)  # "CHEST TWO VIEWS", then a blank line
    if name in sections and rest:
        sections[name] = _join(" ".join([*texts[name][:-1], paragraph]))  # the rest is no indication
    own = [] if name in sections or is_title or (name and rest) else [paragraph]
    head = [part for part in texts[""][:1] if name and part.strip().endswith((".", "!", "?"))]
    return Sections(**sections, last_paragraph=_join(" ".join([*head, *own, *rest])))
