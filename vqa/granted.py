"""What a question takes for granted: "Where is the liver?" says that there is one, "Is there a cyst?" does not.

A faint region of such a phrase is the best answer there is, and is evidence; of a phrase whose presence is asked about
it would say what nobody knows. Words alone decide, in English.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from ..grounding.evidence.sources import Query
from ..grounding.types import AnnotatedImage
from ..grounding.vocabulary.labels import load_labels

_MEASURES = re.compile(r"^where\b|\btiny\b|over 15|^how (?:large|big|much)\b|what size|which size|cover", re.IGNORECASE)
"""Asks where or how large: all that it names is there."""
_OPEN = re.compile(
    r"^(?:how many|count)\b|number of|more than one|several|two or more"
    r"|^(?:is|are|can|do) .*\b(?:visible|seen|shown|present)\b|^which of these",
    re.IGNORECASE,
)
"""Asks whether, how many or which: nothing that it names need be there."""


@lru_cache(maxsize=65536)
def granted_in(question: str) -> tuple[str, ...]:
    """The labels that the question says are there, in order: with "the" before them, or all where it measures.

    "Is the nodule in the left half?"       nodule
    "How large is the area of liver?"       liver
    "Is there a cyst in the right kidney?"  right kidney
    "How many cysts are there?"             none
    """
    if _OPEN.search(question):
        return ()
    has_all, mentions = _MEASURES.search(question) is not None, load_labels().mentions_in(question)
    named = [name for start, _, name in mentions if has_all or question[:start].lower().endswith("the ")]
    return tuple(dict.fromkeys(named))


def query_of(images: Iterable[AnnotatedImage], question: str, vocabulary: Mapping[str, Sequence[str]]) -> Query:
    """What to look for in each image: what the question names, and of `vocabulary` what is usual in its modality."""
    return Query.of(images, load_labels().phrases_in(question), vocabulary, granted_in(question))
