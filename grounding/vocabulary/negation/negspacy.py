"""NegEx of the package negspacy, with its clinical terms and every word of the sentence by itself; nothing is fetched.

Its terms hold "no" and "isn't" but hardly any that stands behind ("is not seen", "effusion: none"): those are ours.
Importing this file imports spaCy, which takes seconds.
"""

from itertools import groupby

import spacy
from negspacy.negation import Negex  # noqa: F401 - importing it registers the component

from . import Stretch
from .rules import find_denied_before

_LANGUAGE = spacy.blank("en")
_LANGUAGE.add_pipe("negex", config={"span_keys": ["words"]})


def find_denied(sentence: str) -> list[Stretch]:
    """Every run of denied words, with the blanks between them, and what a negation behind it denies."""
    doc = _LANGUAGE.make_doc(sentence)
    for token in doc:
        token.is_sent_start = token.i == 0  # one sentence is one document
    doc.spans["words"] = [doc[index : index + 1] for index in range(len(doc))]
    words = _LANGUAGE(doc).spans["words"] if len(doc) else []
    runs = [list(run) for is_denied, run in groupby(words, lambda word: word._.negex) if is_denied]
    return [(run[0].start_char, run[-1].end_char) for run in runs] + find_denied_before(sentence)
