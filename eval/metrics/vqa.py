"""VQA by rules: the protocol `exact_match`, version 1. Yes/no by words, all else by normalised equality.

Closed questions with a yes/no reference are read by `parse_yes_no`; closed ones with another reference ("left") and
open ones must equal the reference after `normalize`. Token F1 and recall use multisets of normalised words.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import datasets
import evaluate

from ...grounding.bad_input import BadInput, nearest
from ..measure import Measure, mean

PROTOCOL = "exact_match"
VERSION = "1"

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_NUMBER_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBER_WORDS)}
_ARTICLES = {"a", "an", "the"}
_TYPES: dict[str, Literal["open", "closed", ""]] = {
    "open": "open",
    "other": "open",
    "number": "open",
    "closed": "closed",
    "yes/no": "closed",
    "": "",
}


def normalize(text: str) -> str:
    """The public VQA normalisation: lower case, punctuation, number words, articles; apostrophes are dropped.

    A punctuation mark that touches a blank, or any in a text with a comma between digits, vanishes; others become a
    blank. A full stop goes unless a digit follows ("1.5" stays). "dont" and "don't" meet as "dont".
    """
    text = " ".join(text.lower().split())
    has_thousands = re.search(r"\d,\d", text) is not None
    clean = text
    for mark in _PUNCTUATION:
        touches = f"{mark} " in text or f" {mark}" in text
        clean = clean.replace(mark, "" if touches or has_thousands else " ")
    clean = re.sub(r"\.(?!\d)|'|’", "", clean)
    return " ".join(_NUMBERS.get(word, word) for word in clean.split() if word not in _ARTICLES)


def parse_yes_no(text: str) -> Literal["yes", "no"] | None:
    """The answer in the first clause that holds the word yes or no; None (abstained) for no such clause, or both words.

    Whole words only: "nodule", "abnormal" and "not" say nothing.
    """
    for clause in re.split(r"[.,;:!?\n]", text.lower()):
        words = set(re.findall(r"\b(yes|no)\b", clause))
        if words:
            return None if len(words) == 2 else ("yes" if "yes" in words else "no")
    return None


def is_closed(answer_type: str, reference: str) -> bool:
    """By the answer type (`open`, `other`, `number`, `closed`, `yes/no`, any case), else by a yes/no reference."""
    kind = answer_type.strip().lower()
    if kind not in _TYPES:
        raise BadInput(f"unknown answer_type {answer_type!r}.", fix=nearest(kind, [name for name in _TYPES if name]))
    return _TYPES[kind] == "closed" if _TYPES[kind] else normalize(reference) in ("yes", "no")


def is_right(prediction: str, reference: str, closed: bool) -> bool:
    """Exact match after normalisation; for a closed question with a yes/no reference, the parsed yes or no."""
    wanted = normalize(reference)
    if closed and wanted in ("yes", "no"):
        return parse_yes_no(prediction) == wanted
    return normalize(prediction) == wanted


def token_f1_recall(prediction: str, reference: str) -> tuple[float, float]:
    """F1 and recall of normalised words as multisets; two empty texts agree (1, 1)."""
    found, wanted = Counter(normalize(prediction).split()), Counter(normalize(reference).split())
    if not found or not wanted:
        return (1.0, 1.0) if found == wanted else (0.0, 0.0)
    shared = (found & wanted).total()
    return 2 * shared / (found.total() + wanted.total()), shared / wanted.total()


def vqa_measures(
    predictions: Sequence[str], references: Sequence[str], answer_types: Sequence[str]
) -> dict[str, Measure]:
    """open_accuracy, open_f1, open_recall, closed_accuracy, overall_accuracy; a kind without questions is left out."""
    closed = [is_closed(kind, reference) for kind, reference in zip(answer_types, references, strict=True)]
    right = [is_right(*sample) for sample in zip(predictions, references, closed, strict=True)]
    open_rows = [row for row, flag in enumerate(closed) if not flag]
    closed_rows = [row for row, flag in enumerate(closed) if flag]
    found: dict[str, Measure] = {}
    if open_rows:
        overlap = [token_f1_recall(predictions[row], references[row]) for row in open_rows]
        found["open_accuracy"] = mean([right[row] for row in open_rows], open_rows)
        found["open_f1"] = mean([f1 for f1, _ in overlap], open_rows)
        found["open_recall"] = mean([recall for _, recall in overlap], open_rows)
    if closed_rows:
        found["closed_accuracy"] = mean([right[row] for row in closed_rows], closed_rows)
    found["overall_accuracy"] = mean(right)
    return found


def vqa_counts(predictions: Sequence[str], references: Sequence[str], answer_types: Sequence[str]) -> dict[str, int]:
    """Questions of each kind, empty predictions, and abstentions: yes/no questions answered with neither or both."""
    closed = [is_closed(kind, reference) for kind, reference in zip(answer_types, references, strict=True)]
    asked = [flag and normalize(reference) in ("yes", "no") for flag, reference in zip(closed, references, strict=True)]
    abstained = [flag and parse_yes_no(text) is None for flag, text in zip(asked, predictions, strict=True)]
    return {
        "open": len(closed) - sum(closed),
        "closed": sum(closed),
        "yes_no": sum(asked),
        "abstentions": sum(abstained),
        "empty_predictions": sum(not text.strip() for text in predictions),
    }


class VQAExactMatch(evaluate.Metric):
    """`vqa_measures` for the evaluate library: `VQAExactMatch().compute(predictions=, references=, answer_types=)`."""

    def __init__(self, **options: Any):
        super().__init__(**{"keep_in_memory": True, **options})

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions, references, answer_types: one text a question",
            features=datasets.Features({"predictions": text, "references": text, "answer_types": text}),
        )

    def _compute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, predictions: list[str], references: list[str], answer_types: list[str], **_others: Any
    ) -> dict[str, float]:
        """`_others` are meant for the metrics this one is combined with."""
        found = vqa_measures(predictions, references, answer_types)
        return {name: measure.value for name, measure in found.items()}
