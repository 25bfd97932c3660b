"""Our rules of negation, after NegEx (Chapman et al. 2001), with scopes cut at clauses."""

import re

from . import BLANK, Stretch

# Look like negations and deny nothing: "no change", "cannot be excluded".
_HARMLESS = re.compile(
    r"\b(?:no (?:significant |interval |appreciable |definite )*(?:change|increase|decrease|improvement"
    r"|worsening|longer)"
    r"|not (?:only|just|necessarily|significantly changed|changed)|without (?:significant |interval )*change"
    r"|(?:cannot|can not|could not|not) (?:be )?(?:rule[ds]? out|excluded?|entirely excluded)"
    r"|with (?:and|or) without|not certain (?:if|whether))\b",
    re.IGNORECASE,
)
# Deny what follows: "no effusion".
_BEFORE = re.compile(
    r"\b(?:no|not|without|absence of|lack of|negative for|free (?:of|from)|clear of|den(?:y|ies|ied)|never|neither|nor"
    r"|rules? out|ruled out for|fails? to (?:show|reveal|demonstrate)|cannot (?:see|identify|detect)"
    r"|(?:do|does|did|is|are|was|were)n't)\b",
    re.IGNORECASE,
)
# Deny what stands before: "effusion is not seen".
_AFTER = re.compile(
    r"\b(?:(?:is|are|was|were|has been|have been)?\s*not (?:clearly )?(?:seen|identified|evident|present|demonstrated"
    r"|visuali[sz]ed|visible|noted|detected|observed|appreciated|found|shown|depicted)"
    r"|(?:is|are|was|were) (?:absent|negative|excluded)|(?:has|have)? ?(?:been )?ruled out(?! for)"
    r"|(?:has|have) (?:completely )?(?:resolved|disappeared|cleared))\b",
    re.IGNORECASE,
)
# End a clause, and with it every negation.
_CLAUSE = re.compile(
    r";|:|\.\s|\s[-–—]\s|\b(?:but|however|although|though|yet|whereas|while|except(?: for)?|apart from|aside from"
    r"|which|who|because|secondary to|due to|there (?:is|are|was|were))\b"
    r"|,\s*(?:with|consistent with|compatible with|in keeping with|suggest\w+|(?:and|or) (?:the|an?|there))\b"
    r"|\band (?=(?:the|an?) )",
    re.IGNORECASE,
)
# A comma before a verb ends the clause; before a mere list item it does not.
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|shows?|showed|demonstrates?|reveals?|remains?|appears?|seen|noted|present"
    r"|increased|enlarged|unchanged|stable|persists?|there)\b",
    re.IGNORECASE,
)
_OR = re.compile(r"\b(?:or|nor)\b", re.IGNORECASE)


def find_denied(sentence: str) -> list[Stretch]:
    """Every stretch that a negation covers; stretches may overlap."""
    # Blanking keeps the length, so that places in `visible` are places in the sentence.
    visible = _HARMLESS.sub(lambda match: BLANK * len(match[0]), sentence)
    behind = [(match.start(), match.end()) for match in _AFTER.finditer(visible)]
    # "is not seen" holds a "not": it must not deny what follows it as well.
    inside = {index for start, end in behind for index in range(start, end)}
    ahead = [match for match in _BEFORE.finditer(visible) if match.start() not in inside]
    denied = [(_reach_back(visible, start), end) for start, end in behind]
    return denied + [(match.start(), _reach_on(visible, match.end())) for match in ahead]


def _reach_on(sentence: str, start: int) -> int:
    """End of what a negation before it covers.

    No effusion, nodule or mass is seen.       to the end: "or" ties the list to the verb
    No effusion, the opacity is unchanged.     to the comma: a verb of their own follows
    No effusion; opacity at the base.          to the clause mark
    """
    mark = _CLAUSE.search(sentence, start)
    end = mark.start() if mark else len(sentence)
    for comma in re.finditer(r",", sentence[start:end]):
        index = start + comma.start()
        next_comma = sentence.find(",", index + 1, end)
        verb = _VERB.search(sentence, index, next_comma if next_comma > 0 else end)
        if verb and not _OR.search(sentence, index, verb.start()):
            return index
    return end


def _reach_back(sentence: str, end: int) -> int:
    """Start of what a negation behind it covers.

    Effusion, nodule and mass are not seen.                from the start: a list runs over its commas
    Opacity on the left, effusion is not identified.       from behind the last comma
    """
    start = max((mark.end() for mark in _CLAUSE.finditer(sentence, 0, end)), default=0)
    comma = sentence.rfind(",", start, end)
    is_list = re.search(r"\b(?:and|or|nor)\b", sentence[comma + 1 : end]) is not None
    return start if comma < 0 or is_list else comma + 1
