"""VQA by choosing: `meta.options` of a record lists the options, A, B, C ... in their order.

Options are texts, with or without their letters before them ("A. liver", all of them or none), or an object from letter
to text. The reference is a letter or the text of an option. Which option an answer chooses, by the first rule that
applies to what it says (`answer_text`: no thoughts, Markdown, "Answer:"):

1. A letter at its beginning, in any case, alone or closed by a mark: "B", "(B)", "B.", "b)", "B: liver", "Option B",
   "The answer is B."; a letter and a blank where the option's own text follows: "B liver". "A cyst" begins with no
   letter. A letter before the text of another option chooses none.
2. The text of an option, all of it, once normalised as `exact_match` does.
3. The one option whose text stands in the answer as whole words, where others do not, or only inside of it ("lung" in
   "left lung").

Anything else chooses none: it is wrong, and counted as abstained. `chance_accuracy`: what guessing would get.
"""

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from ...grounding.bad_input import BadInput
from ...grounding.vocabulary.model_text import answer_text
from ..settings import EvalSettings
from .exact_match import normalize
from .vqa_rules import VqaRules

PROTOCOL = "multiple_choice"
VERSION = "1"
NONE = "?"
"""What an answer chooses that chooses no option."""

_LEAD = r"(?:(?:the\s+)?(?:(?:correct|best|right|final)\s+)?(?:answer|option|choice)(?:\s+is|\s*:)?\s*)*"
_LETTER = re.compile(rf"\W*?{_LEAD}[(\[]?([A-Za-z])(?:[)\].:,;]+|\s+-|\s*$|(?=\s))\s*(.*)", re.IGNORECASE | re.DOTALL)
_OWN_LETTER = re.compile(r"\s*[(\[]?([A-Z])[)\].:]\s*(.+)", re.DOTALL)
_BLANK = re.compile(r"[A-Za-z]\s+\S")


def rules(settings: EvalSettings) -> VqaRules:
    """The rules of `multiple_choice`; no setting changes them."""
    return VqaRules(
        protocol=PROTOCOL,
        version=VERSION,
        is_yes_no=lambda _: True,
        is_abstention=lambda letter: letter == NONE,
        score=lambda letter, reference, _: {"overall_accuracy": float(letter == reference)},
        read=read,
    )


def options_of(given: Any) -> tuple[str, ...]:
    """The texts of the options, without their letters. Raises `BadInput` for what are not two to 26 different texts."""
    if isinstance(given, Mapping) and list(given) == list(ascii_uppercase[: len(given)]):
        given = list(given.values())
    fix = "a list of texts, or an object with the keys A, B, C ... in this order"
    if not isinstance(given, Sequence) or isinstance(given, str) or not 2 <= len(given) <= len(ascii_uppercase):
        raise BadInput("meta.options are not two to 26 options.", fix=fix)
    texts = [str(option).strip() for option in given]
    matches = [_OWN_LETTER.fullmatch(text) for text in texts]
    if all(match and match[1] == letter for match, letter in zip(matches, ascii_uppercase, strict=False)):
        texts = [match[2].strip() for match in matches if match]
    if len({normalize(text) or text for text in texts}) < len(texts):
        raise BadInput("two of meta.options are the same text.", fix=fix)
    return tuple(texts)


def read(text: str, options: Any, is_reference: bool) -> str:
    """The letter of the option that an answer chooses, `NONE` for none; "" for an empty answer.

    Raises `BadInput` for broken options, and for a reference that is none of them.
    """
    texts = options_of(options)
    said = text.strip() if is_reference else answer_text(text).strip()
    if is_reference:  # a text of one letter is rather that letter
        exact = [letter for letter, option in zip(ascii_uppercase, texts, strict=False) if option == said]
        letter = said.strip("()[]. ").upper()
        if len(letter) == 1 and letter in ascii_uppercase[: len(texts)]:
            return letter
        if exact:
            return exact[0]
    chosen = choose(said, texts)
    if is_reference and chosen == NONE:
        raise BadInput(f"the answer {text!r} is none of its options.", fix="a letter, or the text of an option")
    return chosen if text.strip() else ""


def choose(said: str, options: Sequence[str]) -> str:
    """The letter by the rules above; `NONE` for none."""
    letters = dict(zip(ascii_uppercase, map(normalize, options), strict=False))
    if (match := _LETTER.match(said)) and (letter := match[1].upper()) in letters:
        rest, is_closed = normalize(match[2]), not _BLANK.match(said[match.start(1) :])
        if is_closed and rest in letters.values() and rest != letters[letter]:
            return NONE
        if is_closed or rest == letters[letter]:
            return letter
    words = normalize(said)
    whole = [letter for letter, option in letters.items() if option == words]
    if whole:
        return whole[0]
    inside = [letter for letter, option in letters.items() if option and f" {option} " in f" {words} "]
    outer = [
        letter
        for letter in inside
        if not any(f" {letters[letter]} " in f" {letters[other]} " for other in inside if other != letter)
    ]
    return outer[0] if len(outer) == 1 else NONE
