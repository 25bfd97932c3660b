"""What a sentence denies: the sentence -> the same sentence with everything denied blanked out.

Three engines, one contract. `rules`: ours, after NegEx (Chapman et al. 2001), with scopes cut at clauses. `negspacy`:
NegEx as the package of that name has it (J. Pizarro, MIT licence). `off`: nothing is denied.

The switch is for what a model wrote; truth (data sets' own reports, the judge of `statements.py`) is read by the rules.
They are the default for what was measured (docs/benchmarks.md): on Open-i's reports the two differ in 1.7 % of phrases,
mostly over "versus", "cannot exclude", "clear of" and "has resolved", and there the rules are right nine times of ten.
"""

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, get_args

from ...bad_input import BadInput, nearest

Negation = Literal["rules", "negspacy", "off"]
"""Name of the engine that decides what a sentence denies."""
NEGATIONS: tuple[Negation, ...] = get_args(Negation)
BLANK = "0"
"""Stands for what is denied: a word of its own, so that the words beside a gap do not become neighbours."""
Stretch = tuple[int, int]
"""[start, end) in characters."""


@dataclass(frozen=True)
class Engine:
    """`module`: file beside this one with `find_denied(sentence) -> list[Stretch]`; None: nothing is denied.

    `extra`: the extra of the distribution that installs what the module imports.
    """

    module: str | None = None
    extra: str = ""


ENGINES: dict[Negation, Engine] = {
    "rules": Engine("rules"),
    "negspacy": Engine("negspacy", extra="negation"),
    "off": Engine(),
}


def is_negated(sentence: str, phrase: str, by: Negation = "rules") -> bool:
    """Whether every mention of the phrase (whole words, any case) in the sentence is denied; False if it is not there.

    By the rules "no", "without", "negative for" ... reach to the end of their clause, "is not seen", "is absent" ...
    back to its start; "but", a semicolon, or a comma before words with a verb of their own end a clause. "No change"
    and "cannot be excluded" deny nothing.
    """
    mention = re.compile(rf"(?<!\w){re.escape(phrase)}(?:e?s)?(?!\w)", re.IGNORECASE)
    return bool(mention.search(sentence)) and not mention.search(blank_denied(sentence, by))


def blank_denied(sentence: str, by: Negation = "rules") -> str:
    """The sentence with everything denied blanked out, so that only affirmed words can be recognised in it.

        The heart is large, no nodule or effusion.
        The heart is large, 0000000000000000000000

    As long as it was, letter for letter. Raises `BadInput` where the engine's package is not installed.
    """
    engine = ENGINES[by]
    if engine.module is None:
        return sentence
    try:
        module = import_module(f".{engine.module}", __name__)
    except ImportError:
        raise BadInput(f"{by} is not installed.", fix=f"pip install 'medglip[{engine.extra}]'") from None
    letters = list(sentence)
    for start, end in module.find_denied(sentence):
        letters[start:end] = [BLANK] * (end - start)
    return "".join(letters)


def engine_named(name: str) -> Negation:
    """The engine of a name, ready to be used. Raises `BadInput` for an unknown one, and if its package is missing."""
    if name not in NEGATIONS:
        raise BadInput(f"unknown negation {name!r}.", fix=nearest(name, NEGATIONS))
    blank_denied("", name)
    return name
