"""NegEx of the package negspacy, with its clinical terms and every word of the sentence by itself; nothing is fetched.

Its terms lack most that stand behind ("is not seen", "effusion: none"), what is gone ("resolved effusion"), what only
looks like a negation ("cannot exclude") and `_OURS`: those are ours.
Importing this file imports spaCy, which takes seconds.
"""

from itertools import groupby

import spacy
from negspacy.negation import Negex  # noqa: F401 - importing it registers the component
from negspacy.termsets import termset

from . import Stretch
from .rules import blank_harmless, find_gone

_OURS = {
    "preceding_negations": [
        *(
            "lack of",
            "lacks",
            "lacking",
            "absent",
            "clear of",
            "devoid of",
            "neither",
            "nor",
            "nil",
            "nothing to suggest",
        ),
        *("nothing suggests", "fails to show", "fails to demonstrate", "failed to show", "failed to demonstrate"),
        *("excludes", "inconsistent with", "rather than", "unlikely", "improbable", "ain't", "won't", "wouldn't"),
    ],
}
"""Terms that the package's own list lacks."""
_TERMS = {kind: terms + _OURS.get(kind, []) for kind, terms in termset("en_clinical").get_patterns().items()}
_LANGUAGE = spacy.blank("en")
_LANGUAGE.add_pipe("negex", config={"span_keys": ["words"], "neg_termset": _TERMS})


def find_denied(sentence: str) -> list[Stretch]:
    """Every run of denied words, with the blanks between them, and what a negation behind it denies."""
    doc = _LANGUAGE.make_doc(blank_harmless(sentence))
    for token in doc:
        token.is_sent_start = token.i == 0  # one sentence is one document
    doc.spans["words"] = [doc[index : index + 1] for index in range(len(doc))]
    words = _LANGUAGE(doc).spans["words"] if len(doc) else []
    runs = [list(run) for is_denied, run in groupby(words, lambda word: word._.negex) if is_denied]
    return [(run[0].start_char, run[-1].end_char) for run in runs] + find_gone(sentence)
