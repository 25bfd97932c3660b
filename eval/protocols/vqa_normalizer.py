"""The parts that variants of the public VQA normalisation share: punctuation, number words, articles.

Source: the evaluation of Antol et al., "VQA: Visual Question Answering", ICCV 2015, as LLaVA-Med spells it.
"""

import re

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBER_WORDS = {"none": "0"} | {word: str(number) for number, word in enumerate(_DIGITS)}
ARTICLES = frozenset({"a", "an", "the"})
PERIOD = re.compile(r"\.(?!\d)")
"""A full stop that no digit follows; one that a digit follows stays ("1.5", but also "no.5")."""

_MARKS = re.compile(r'[;/\[\]"{}()=+\\_\-><@`,?!]')
_THOUSANDS = re.compile(r"\d,\d")


def clear_marks(text: str) -> str:
    """Punctuation but full stops and apostrophes goes.

    A mark that touches a blank anywhere in the text vanishes everywhere, and so does every mark of a text with a comma
    between digits; other marks become a blank.
    """
    marks = set(_MARKS.findall(text))
    has_thousands = "," in marks and _THOUSANDS.search(text) is not None
    clean = text
    for mark in marks:  # looked for in the text as it was, so that the order of the marks does not matter
        touches = f"{mark} " in text or f" {mark}" in text
        clean = clean.replace(mark, "" if touches or has_thousands else " ")
    return clean


def plain_words(text: str) -> list[str]:
    """Words with numbers as digits, without articles."""
    return [NUMBER_WORDS.get(word, word) for word in text.split() if word not in ARTICLES]
