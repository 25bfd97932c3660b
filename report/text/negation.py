"""What a sentence denies: the sentence -> the same sentence with everything denied blanked out.

Three engines, one contract. `rules`: ours, after NegEx (Chapman et al. 2001), with scopes cut at clauses. `negspacy`:
NegEx as the package of that name has it (J. Pizarro, MIT licence), with its clinical terms and every word of the
sentence by itself; nothing is fetched. `off`: nothing is denied.

The switch is for what a model wrote; truth (data sets' own reports, the judge of `statements.py`) is read by the rules.
They are the default for what was measured (docs/benchmarks.md): on Open-i's reports the two differ in 1.7 % of phrases,
mostly over "versus", "cannot exclude", "clear of" and "has resolved", and there the rules are right nine times of ten.
"""

import re
from collections.abc import Callable
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Literal, get_args

from ...grounding.bad_input import BadInput, nearest

if TYPE_CHECKING:
    from spacy.language import Language

Negation = Literal["rules", "negspacy", "off"]
"""Who tells what a sentence denies."""
NEGATIONS: tuple[Negation, ...] = get_args(Negation)
BLANK = "0"
"""Stands for what is denied: a word of its own, so that the words beside a gap do not become neighbours."""
Stretch = tuple[int, int]
"""[start, end) in characters."""


def is_negated(sentence: str, phrase: str, by: Negation = "rules") -> bool:
    """Whether every mention of the phrase (whole words, any case) in the sentence is denied; False if it is not there.

    By the rules "no", "without", "negative for" ... reach to the end of their clause, "is not seen", "is absent" ...
    back to its start; "but", a semicolon, or a comma before words with a verb of their own end a clause. "No change"
    and "cannot be excluded" deny nothing.
    """
    mention = re.compile(rf"(?<!\w){re.escape(phrase)}(?:e?s)?(?!\w)", re.IGNORECASE)
    return bool(mention.search(sentence)) and not mention.search(affirmed(sentence, by))


def affirmed(sentence: str, by: Negation = "rules") -> str:
    """The sentence with everything denied blanked out, so that only affirmed words can be recognised in it.

    As long as it was, letter for letter. Raises `BadInput` where negspacy is asked for and not installed.
    """
    letters = list(sentence)
    for start, end in _ENGINES[by](sentence):
        letters[start:end] = [BLANK] * (end - start)
    return "".join(letters)


def engine_named(name: str) -> Negation:
    """The engine of a name, ready to be used. Raises `BadInput` for an unknown one, and if its package is missing."""
    if name not in NEGATIONS:
        raise BadInput(f"unknown negation {name!r}.", fix=nearest(name, NEGATIONS))
    affirmed("", name)
    return name


# --- our rules -------------------------------------------------------------------------------------------------------

_HARMLESS = re.compile(
    r"\b(?:no (?:significant |interval |appreciable |definite )*(?:change|increase|decrease|improvement"
    r"|worsening|longer)"
    r"|not (?:only|just|necessarily|significantly changed|changed)|without (?:significant |interval )*change"
    r"|(?:cannot|can not|could not|not) (?:be )?(?:rule[ds]? out|excluded?|entirely excluded)"
    r"|with (?:and|or) without|not certain (?:if|whether))\b",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"\b(?:no|not|without|absence of|lack of|negative for|free (?:of|from)|clear of|den(?:y|ies|ied)|never|neither|nor"
    r"|rules? out|ruled out for|fails? to (?:show|reveal|demonstrate)|cannot (?:see|identify|detect)"
    r"|(?:do|does|did|is|are|was|were)n't)\b",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"\b(?:(?:is|are|was|were|has been|have been)?\s*not (?:clearly )?(?:seen|identified|evident|present|demonstrated"
    r"|visuali[sz]ed|visible|noted|detected|observed|appreciated|found|shown|depicted)"
    r"|(?:is|are|was|were) (?:absent|negative|excluded)|(?:has|have)? ?(?:been )?ruled out(?! for)"
    r"|(?:has|have) (?:completely )?(?:resolved|disappeared|cleared))\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r";|:|\.\s|\s[-–—]\s|\b(?:but|however|although|though|yet|whereas|while|except(?: for)?|apart from|aside from"
    r"|which|who|because|secondary to|due to|there (?:is|are|was|were))\b"
    r"|,\s*(?:with|consistent with|compatible with|in keeping with|suggest\w+|(?:and|or) (?:the|an?|there))\b"
    r"|\band (?=(?:the|an?) )",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|shows?|showed|demonstrates?|reveals?|remains?|appears?|seen|noted|present"
    r"|increased|enlarged|unchanged|stable|persists?|there)\b",
    re.IGNORECASE,
)
_OR = re.compile(r"\b(?:or|nor)\b", re.IGNORECASE)


def _by_rules(sentence: str) -> list[Stretch]:
    """Every stretch that a negation covers."""
    visible = _HARMLESS.sub(lambda found: BLANK * len(found[0]), sentence)
    after = [(_reach_back(visible, found.start()), found.end()) for found in _AFTER.finditer(visible)]
    spent = [(found.start(), found.end()) for found in _AFTER.finditer(visible)]
    before = [
        (found.start(), _reach_on(visible, found.end()))
        for found in _BEFORE.finditer(visible)
        if not any(start <= found.start() < end for start, end in spent)
    ]
    return after + before


def _reach_on(sentence: str, start: int) -> int:
    """End of the clause: a clause mark, or a comma before words with their own verb (not before "x or y is seen")."""
    mark = _CLAUSE.search(sentence, start)
    end = mark.start() if mark else len(sentence)
    for comma in re.finditer(r",", sentence[start:end]):
        place = start + comma.start()
        next_comma = sentence.find(",", place + 1, end)
        verb = _VERB.search(sentence, place, next_comma if next_comma > 0 else end)
        if verb and not _OR.search(sentence, place, verb.start()):
            return place
    return end


def _reach_back(sentence: str, end: int) -> int:
    """Start of the clause; a list ("effusion, nodule and mass are not seen") runs over its commas."""
    start = max((mark.end() for mark in _CLAUSE.finditer(sentence, 0, end)), default=0)
    comma = sentence.rfind(",", start, end)
    is_list = re.search(r"\b(?:and|or|nor)\b", sentence[comma + 1 : end]) is not None
    return start if comma < 0 or is_list else comma + 1


# --- negspacy --------------------------------------------------------------------------------------------------------


@cache
def _negex() -> "Language":
    """Words and negspacy's `negex` with its clinical terms; built once, as importing spaCy takes seconds."""
    try:
        import spacy
        from negspacy.negation import Negex  # noqa: F401 - importing it registers the component
    except ImportError:
        raise BadInput("negspacy is not installed.", fix="pip install 'medglip[negation]'") from None
    language = spacy.blank("en")
    language.add_pipe("negex", config={"span_keys": ["words"]})
    return language


def _by_negspacy(sentence: str) -> list[Stretch]:
    """Every run of denied words, with the blanks between them."""
    language = _negex()
    doc = language.make_doc(sentence)
    for token in doc:
        token.is_sent_start = token.i == 0  # one sentence is one document
    doc.spans["words"] = [doc[place : place + 1] for place in range(len(doc))]
    words = language(doc).spans["words"] if len(doc) else []
    runs = [list(run) for is_denied, run in groupby(words, lambda word: word._.negex) if is_denied]
    return [(run[0].start_char, run[-1].end_char) for run in runs]


_ENGINES: dict[Negation, Callable[[str], list[Stretch]]] = {
    "rules": _by_rules,
    "negspacy": _by_negspacy,
    "off": lambda _: [],
}
