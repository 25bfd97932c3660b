"""What a sentence denies: the sentence -> the same sentence with everything denied blanked out.

Three engines, one contract. `rules`: ours, after NegEx (Chapman et al. 2001), with scopes cut at clauses. `negspacy`:
NegEx as the package of that name has it (J. Pizarro, MIT licence), with our rules for what is denied behind its name
("is not seen", "effusion: none") or gone ("resolved effusion"), which it lacks. `off`: nothing is denied.

The switch is for what a model wrote; truth (data sets' own reports, the judge of `statements.py`) is read by the rules.
They are the default, as they are right more often where the two differ (docs/benchmarks.md).
"""

from importlib import import_module
from typing import Literal, get_args

from ...bad_input import BadInput, check_name

Negation = Literal["rules", "negspacy", "off"]
"""Name of the engine that decides what a sentence denies."""
ENGINES: dict[Negation, str] = {"rules": "", "negspacy": "negation", "off": ""}
"""Engine -> the extra of the distribution that its file `NAME.py` needs; `off` has no file."""
NEGATIONS: tuple[Negation, ...] = get_args(Negation)
BLANK = "0"
"""Stands for what is denied: a word of its own, so that the words beside a gap do not become neighbours."""
Stretch = tuple[int, int]
"""[start, end) in characters."""
_APOSTROPHES = dict.fromkeys(map(ord, "’‘ʼʹ′＇´`"), "'")


def straighten(text: str) -> str:
    """The text with every typographic apostrophe as the plain one, letter for letter: "isn’t" is "isn't"."""
    return text.translate(_APOSTROPHES)


def blank_denied(sentence: str, by: Negation = "rules") -> str:
    """The sentence with everything denied blanked out, so that only affirmed words can be recognised in it.

        The heart is large, no nodule or effusion.
        The heart is large, 0000000000000000000000

    By the rules "no", "without", "negative for" ... reach to the end of their clause, "is not seen", "is absent" ...
    back to its start, as do "effusion: none" and "is no longer seen" (this image does not show it); "but", a semicolon,
    or a comma before words with a verb of their own end a clause. "No change", "effusion: no change" and "cannot be
    excluded" deny nothing. As long as it was, letter for letter.
    Raises `BadInput` where the engine's package is not installed.
    """
    if by == "off":
        return sentence
    try:  # the file of that name beside this one: `find_denied(sentence) -> list[Stretch]`
        module = import_module(f".{by}", __name__)
    except ImportError:
        raise BadInput(f"{by} is not installed.", fix=f"pip install 'medglip[{ENGINES[by]}]'") from None
    letters = list(sentence)
    for start, end in module.find_denied(straighten(sentence)):
        letters[start:end] = [BLANK] * (end - start)
    return "".join(letters)


def engine_named(name: str) -> Negation:
    """The engine of a name, ready to be used. Raises `BadInput` for an unknown one, and if its package is missing."""
    engine = check_name(name, NEGATIONS, "negation")
    blank_denied("", engine)
    return engine
