"""Raw model text -> the answer in it: one line, without thoughts and markup; yes or no where the question is closed."""

import re
from typing import Literal

from ..grounding.vocabulary.model_text import answer_text, drop_speaker

AnswerType = Literal["open", "closed"]

_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_CLOSED = re.compile(
    r"(?i)(?:(?:is|are|was|were|does|do|did|could|has|have|had|would|should)(?:n['’ʼ]?t)?|can(?:['’ʼ]?t)?|will|won['’ʼ]t)\b"
)
_WRAPPING = " \t\"'`"


def parse_answer(raw: str, answer_type: AnswerType) -> str:
    """The answer inside raw model text; empty when there is none.

    The line that says it is the answer, else the first with anything in it, without thoughts, special tokens, Markdown,
    a speaker's name, quotes and the final period. A closed question gives `yes` or `no`: the leading word, else the
    only one of the two that stands in the line as a whole word (so "abnormal" is not "no"). A closed answer with
    neither, or with both inside, stays as it is written.
    """
    line = ""
    for part in answer_text(raw).splitlines():
        part = drop_speaker(part).lstrip("*").removesuffix("**").strip(_WRAPPING)
        part = part[:-1] if part.endswith(".") and not part.endswith("..") else part
        if line := " ".join(part.strip(_WRAPPING).split()):
            break
    if answer_type == "open":
        return line
    words = [word.lower() for word in _YES_NO.findall(line)]
    leads = _YES_NO.match(line) is not None
    return words[0] if words and (leads or len(set(words)) == 1) else line


def asks_yes_or_no(question: str) -> bool:
    """Whether a question in words wants yes or no: it starts with a verb and gives no choice of two things."""
    return _CLOSED.match(question.strip()) is not None and not re.search(r"\bor\b", question, re.IGNORECASE)
