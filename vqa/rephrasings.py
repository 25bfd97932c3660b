"""The same question in other words, by templates: nothing is written by a model, so nothing changes its meaning.

A question in one of the wordings of `derived/wordings.yaml` is asked in the other ones of its form; what is left of
`NUM` are frames around the question as it is. After RoMed (arXiv 2508.18687), where reworded questions lost 40 % of the
recall.
"""

import re

from .derived.wordings import WORDINGS, with_article

NUM = 3
"""Rephrasings of a question."""
FRAMES = (
    "Look at the image. {}",
    "Please answer this question about the image: {}",
    "{} Answer by what the image shows.",
)
_DEFINITE = ("the ", "this ", "that ", "these ", "those ", "any ")


def rephrasings(question: str) -> list[str]:
    """`NUM` other wordings, none of them the question itself."""
    texts = [text for text in _in_other_wordings(question.strip()) if text.lower() != question.strip().lower()]
    return [*texts, *(frame.format(question.strip()) for frame in FRAMES)][:NUM]


def _in_other_wordings(question: str) -> list[str]:
    """Every wording of the form that has the question as one; [] for a question of no form."""
    for form, pattern in _PATTERNS:
        if not (match := pattern.fullmatch(question)):
            continue
        words = {name: text for name, text in match.groupdict().items() if text}
        # "Is the trachea visible?" asks about a trachea that is known of: "Is there the trachea" is no English
        if words.get("a_phrase", words.get("phrase", "")).lower().startswith(_DEFINITE):
            continue
        words.setdefault("phrase", re.sub(r"^an? ", "", words.get("a_phrase", "")))
        words.setdefault("a_phrase", with_article(words["phrase"]) if words["phrase"] else "")
        return [text.format(**words) for text in WORDINGS[form]]
    return []


def _pattern(wording: str) -> re.Pattern[str]:
    """What matches the wording with anything in its fields: `Is there {a_phrase} in the image?`."""
    parts = re.split(r"\{(\w+)\}", wording)  # words and names of fields by turns
    text = "".join(f"(?P<{part}>.+?)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return re.compile(text, re.IGNORECASE)


# "Is there more than one area of cyst in the image?" is also a "Is there {a_phrase} in the image?": most words first
_PATTERNS = tuple(
    (form, _pattern(wording))
    for wording, form in sorted(
        ((wording, form) for form, wordings in WORDINGS.items() for wording in wordings),
        key=lambda pair: -len(re.sub(r"\{\w+\}", "", pair[0])),
    )
)
