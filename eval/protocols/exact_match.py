"""VQA by our own rules: yes/no by whole words, all else by equality after VQA normalisation.

- Of a prediction what it answers counts (`answer_text` in grounding/vocabulary/model_text.py): no thoughts, special
  tokens, Markdown, "Answer: ". Thoughts that were cut answer nothing. Full-width, typographic and composed characters
  are the plain ones, on both sides.
- Closed questions with a yes/no reference: the prediction says yes or no by `parse_yes_no`, or normalises to it.
  Neither, or both in one clause, is an abstention and wrong.
- Closed questions with another reference ("left") and open ones: equal after `normalize`.
- "upper left" is "upper left of the image", and "left" is "the image's left half": the question has that frame. The
  patient's sides are words of their own.
- Token F1 and recall: multisets of normalised words, so that a repeated word does not inflate recall.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Literal

from ...grounding.vocabulary.model_text import answer_text, fold
from ..settings import EvalSettings
from .vqa_normalizer import PERIOD, clear_marks, plain_words
from .vqa_rules import VqaRules

PROTOCOL = "exact_match"
VERSION = "3"

_APOSTROPHES = str.maketrans("", "", "'’")
_CLAUSES = re.compile(r"[.,;:!?\n]")
_YES_NO = re.compile(r"\b(yes|no)\b")
_OF_IMAGE = re.compile(r"(?: (?:part|half|side))? of image$")
_IMAGE_HALF = re.compile(r"^images (left|right)(?: (?:half|side|part))?$")


def rules(settings: EvalSettings) -> VqaRules:
    """The rules of `exact_match`; no setting changes them."""
    return VqaRules(
        protocol=PROTOCOL,
        version=VERSION,
        is_yes_no=is_yes_no,
        is_abstention=lambda text: read_answer(answer_text(text)) is None,
        score=score,
    )


@lru_cache(maxsize=1 << 16)
def normalize(text: str) -> str:
    """The public VQA normalisation, in plain characters: lower case, punctuation, number words, articles, apostrophes.

    A punctuation mark that touches a blank, or any in a text with a comma between digits, vanishes; others become a
    blank. A full stop goes unless a digit follows ("1.5" stays). "dont" and "don't" meet as "dont".
    """
    text = clear_marks(" ".join(unicodedata.normalize("NFKC", fold(text)).lower().split()))
    return " ".join(plain_words(PERIOD.sub("", text).translate(_APOSTROPHES)))


def drop_frame(normalized: str) -> str:
    """A normalised place without the words for the image's frame; other texts as they are."""
    # "images left half", "left half of image", "left part of image", "left of image" -> "left"
    return _IMAGE_HALF.sub(r"\1", _OF_IMAGE.sub("", normalized))


@lru_cache(maxsize=1 << 16)
def parse_yes_no(text: str) -> Literal["yes", "no"] | None:
    """The answer in the first clause that holds the word yes or no; None (abstained) for no such clause, or both words.

    Whole words only: "nodule", "abnormal" and "not" say nothing.
    """
    for clause in _CLAUSES.split(text.lower()):
        if words := set(_YES_NO.findall(clause)):
            return None if len(words) == 2 else ("yes" if "yes" in words else "no")
    return None


def read_answer(prediction: str) -> str | None:
    """Yes or no, None for an abstention: a text that is nothing else once normalised, or by `parse_yes_no`."""
    return normalize(prediction) if is_yes_no(prediction) else parse_yes_no(prediction)


def meaning(prediction: str, reference: str) -> str | None:
    """What is said: yes, no or neither of a question with such a reference, else normalised words."""
    text = answer_text(prediction)
    return read_answer(text) if is_yes_no(reference) else drop_frame(normalize(text))


def is_yes_no(reference: str) -> bool:
    """Yes or no, once normalised."""
    return normalize(reference) in ("yes", "no")


def score(prediction: str, reference: str, is_closed: bool) -> dict[str, float]:
    """closed_accuracy, or open_accuracy, open_f1, open_recall; and overall_accuracy, the accuracy of either kind."""
    prediction, wanted = answer_text(prediction), normalize(reference)
    is_right = float(drop_frame(normalize(prediction)) == drop_frame(wanted))
    if is_closed:
        # "Yes, there is." is a yes; a closed question of other words needs just these words
        is_right = float(read_answer(prediction) == wanted) if is_yes_no(reference) else is_right
        return {"closed_accuracy": is_right, "overall_accuracy": is_right}
    f1, recall = token_f1_recall(prediction, reference)
    return {"open_accuracy": is_right, "open_f1": f1, "open_recall": recall, "overall_accuracy": is_right}


def token_f1_recall(prediction: str, reference: str) -> tuple[float, float]:
    """F1 and recall of normalised words as multisets; two texts without words agree (1, 1)."""
    written, wanted = Counter(normalize(prediction).split()), Counter(normalize(reference).split())
    if not written or not wanted:  # articles alone normalise to nothing
        return (1.0, 1.0) if written == wanted else (0.0, 0.0)
    shared = (written & wanted).total()
    return 2 * shared / (written.total() + wanted.total()), shared / wanted.total()
